"""Memory of services that run for months: the collector made quick, freed memory given back."""

import ctypes
import gc
from collections.abc import Callable


def freeze_loaded_objects(*, something_was_replaced: bool = False) -> None:
    """Have the collector pass over all objects that are loaded now; unreachable ones are freed.

    So a full collection is quick and comes often. Reports and associations are cycles that hold
    pictures and buffers: among half a million objects they waited for hours. When something large,
    such as a model, `something_was_replaced`, objects that were frozen before are looked at again.
    That writes to all of them, so a forked service no longer shares their memory.
    """
    if something_was_replaced:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_memory_back() -> None:
    """Collect what is no longer used and give freed pages back to the operating system.

    The C library keeps them, in pieces between those still in use, and thousands of connections
    leave ever more pieces. Where it is not glibc, only the first half is done.
    """
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


def _find_malloc_trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim(3); the thread's lock is released while it works."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


_malloc_trim = _find_malloc_trim()
