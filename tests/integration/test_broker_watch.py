"""A worker goes on after a broker that went away at the worst moment."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from tests.servers.product import wait_for
from tests.servers.redis import PrivateRedis, restartable_redis
from worker import broker_watch
from worker.app import make_celery
from worker.queues import TRIAGE_QUEUE
from worker.settings import Settings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with restartable_redis(tmp_path) as server:
        yield server


@pytest.mark.timeout(120)
def test_a_worker_whose_broker_went_away_within_a_task_takes_the_next_one(
    server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_watch, "LOOK_EVERY_S", 0.5)
    app = make_celery(Settings(broker_url=server.url))
    gone, done = Event(), Event()

    @app.task(name="lose the broker", shared=False)
    def lose_broker() -> None:
        if not gone.is_set():  # it comes again: its acknowledgement failed
            server.stop()
            gone.set()

    @app.task(name="next", shared=False)
    def following() -> None:
        done.set()

    with start_worker(app, perform_ping_check=False, queues=[TRIAGE_QUEUE]):
        app.send_task("lose the broker", queue=TRIAGE_QUEUE)
        assert gone.wait(30)
        server.start()
        wait_for(lambda: _publish(app), "the broker takes a message again")
        assert done.wait(30), "the worker takes nothing any more"


def _publish(app: Celery) -> bool:
    try:
        app.send_task("next", queue=TRIAGE_QUEUE, retry=False)
    except OSError:
        return False
    return True
