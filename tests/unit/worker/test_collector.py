"""Memory that is no longer used."""

import gc
import subprocess
import sys
import weakref

from worker.collector import freeze_loaded_objects

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


class Cycle:
    """Unreachable and not freed, until the collector looks at it."""

    def __init__(self) -> None:
        self.self = self


def test_what_is_frozen_stays_so_unless_something_was_replaced() -> None:
    try:
        cycle = Cycle()
        told = weakref.ref(cycle)
        freeze_loaded_objects()
        before = gc.get_freeze_count()
        del cycle
        freeze_loaded_objects()
        assert gc.get_freeze_count() >= before
        assert told() is not None
        freeze_loaded_objects(something_was_replaced=True)
        assert told() is None
    finally:
        gc.unfreeze()
