"""Waiting for the product: as long as its processes live and something moves."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.demonstration.product import Product
from worker.errors import DemoFailed

_POLL_S = 0.2
_PATIENCE_S = 600.0
_SLOW_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a stage of the demonstration."""

    waiting_for: str
    done: int = 0
    total: int | None = None
    """None: it cannot be counted."""
    moved: object = None
    """Compares unequal whenever something has moved."""
    finished: bool = False


Progress = Callable[[Look], None]
"""Called with each look."""


class Watch:
    """Waits for one stage after another.

    Patience ends after ten minutes in which nothing moves, on a busy machine later by its load per
    core.
    """

    def __init__(
        self,
        product: Product,
        on_progress: Progress,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._product, self._on_progress = product, on_progress
        self._clock, self._pause = clock, pause

    def until_finished(self, look: Callable[[], Look]) -> None:
        """Look again and again until the look is finished.

        Raises:
            DemoFailed: a process cannot run, or nothing moves any more.
        """
        moved_at, before = self._clock(), None
        while True:
            seen = look()
            self._on_progress(self._explained(seen, self._clock() - moved_at))
            if seen.finished:
                return
            self._product.check()
            now = (seen, self._product.milestones)
            if now != before:
                moved_at, before = self._clock(), now
            waited = self._clock() - moved_at
            if waited > _PATIENCE_S * max(1.0, load_per_core()):
                raise DemoFailed(
                    f"nothing has moved for {waited / 60:.0f} minutes while {seen.waiting_for} "
                    f"({seen.done} of {seen.total or '?'} done). {self._product.last_words}"
                )
            self._pause(_POLL_S)

    @staticmethod
    def _explained(seen: Look, waited: float) -> Look:
        if waited < _SLOW_AFTER_S or load_per_core() < 2:
            return seen
        busy = f"{seen.waiting_for}; the machine is busy: load {os.getloadavg()[0]:.0f}"
        return Look(busy, seen.done, seen.total, seen.moved, seen.finished)


def load_per_core() -> float:
    """Return how many processes wait for each core, over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
