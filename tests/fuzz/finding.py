"""What counts as a finding, and the bounds of time and memory that every case has to keep."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Finding(AssertionError):
    """A contract of the product was broken by a case; the message says which."""


@contextmanager
def bounded(cpu_s: float, mib: float) -> Iterator[None]:
    """Raise Finding when the block takes more processor time, or adds more to the peak of memory.

    Both are of this process with all its threads.
    """
    began, peak = time.process_time(), _peak_mib()
    yield
    spent, grown = time.process_time() - began, _peak_mib() - peak
    if spent > cpu_s:
        raise Finding(f"took {spent:.1f} s of processor time, more than {cpu_s:g} s")
    if grown > mib:
        raise Finding(f"took {grown:.0f} MiB of memory, more than {mib:g} MiB")


def require(condition: object, broken: str) -> None:
    """Raise Finding with what is `broken` unless the condition holds."""
    if not condition:
        raise Finding(broken)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
