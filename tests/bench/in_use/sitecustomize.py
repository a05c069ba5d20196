"""What a process has in use, written to `$SOAK_IN_USE/<pid>.json` every ten seconds.

Python imports a module of this name at its start, so the services that the soak watches need no
code for it. Resident memory alone cannot tell what is kept from what the C library has not given
back.
"""

import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class MallocInformation(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS.split()]  # ctypes' way


def tell(path: Path) -> None:
    """Bytes of the C library's heap, and Python's blocks."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = MallocInformation
    while True:
        heap = library.mallinfo2()
        found = {
            "heap": (heap.uordblks + heap.hblkhd) / 2**20,
            "blocks": sys.getallocatedblocks(),
        }
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found))
        unfinished.replace(path)
        time.sleep(10)


if folder := os.environ.get("SOAK_IN_USE"):
    own = Path(folder) / f"{os.getpid()}.json"
    threading.Thread(target=tell, args=(own,), daemon=True).start()
