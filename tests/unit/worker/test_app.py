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


def test_every_folder_of_the_file_broker_is_for_our_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_celery(Settings(data_folder=data)).conf["broker_transport_options"]
    folders = [data, *data.rglob("*")]
    assert {f.relative_to(tmp_path).as_posix(): f.stat().st_mode & 0o777 for f in folders} == {
        "data": 0o700,
        "data/broker": 0o700,
        "data/broker/messages": 0o700,
        "data/broker/control": 0o700,
    }
