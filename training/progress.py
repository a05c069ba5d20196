"""What a run tells while it goes."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A stage's name, how much is done of how much, and figures."""

    stage: str
    done: int
    total: int
    detail: str = ""


Report = Callable[[Progress], None]


def counting(stage: str, total: int, report: Report) -> Callable[[], None]:
    """A callable that reports one more each time."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(Progress(stage, done, total))

    return tick
