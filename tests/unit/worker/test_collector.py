"""Memory that is no longer used."""

import subprocess
import sys

_PROGRAM = """
from worker.collector import give_memory_back

def resident_mib():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024

pieces = [bytes(1000) for _ in range(100_000)]
del pieces[:-1]  # the last one, at the heap's end, keeps all before it from being given back
before = resident_mib()
give_memory_back()
print(before - resident_mib())
"""


def test_freed_pieces_go_back_to_the_operating_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 50
