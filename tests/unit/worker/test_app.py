"""What every task of the application has in common."""

import gc
import weakref
from pathlib import Path

from worker.app import make_celery
from worker.settings import Settings


class Cycle:
    """Held by nothing but itself: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_task_leaves_in_cycles_is_freed_after_it(tmp_path: Path) -> None:
    left: list[weakref.ref[Cycle]] = []
    app = make_celery(Settings(data_folder=tmp_path))

    @app.task(shared=False)
    def leave_a_cycle() -> None:
        left.append(weakref.ref(Cycle()))

    gc.disable()  # else the collector may come by itself
    try:
        leave_a_cycle.apply()
    finally:
        gc.enable()
    assert left[0]() is None
