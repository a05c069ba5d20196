"""A worker of several queues empties triage before the backlog, whatever waits there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Consumer, Message

from tests.servers.redis import private_redis
from worker.app import make_celery, publish_batch, publish_delivery, publish_study
from worker.queues import BACKLOG_QUEUE, DELIVERY_QUEUE, TRIAGE_QUEUE, queue_names
from worker.settings import Settings

WAITING = 50


@pytest.fixture(params=["files", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    if request.param == "files":
        yield Settings(data_folder=tmp_path)
        return
    with private_redis(tmp_path) as url:
        yield Settings(data_folder=tmp_path, broker_url=url)


def take(app: Celery, settings: Settings, arriving: dict[int, int]) -> list[str]:
    """Queues in the order in which a worker gets its tasks, one at a time, to the end.

    `arriving`: after so many tasks, a study comes to be screened in triage.
    """
    kinds = [BACKLOG_QUEUE, DELIVERY_QUEUE, TRIAGE_QUEUE]  # in whatever order it is told them
    queues = [app.amqp.queues[name] for name in queue_names(settings, kinds)]
    taken: list[str] = []

    def work(message: Message) -> None:
        taken.append(str(message.delivery_info["routing_key"]))
        if len(taken) in arriving:
            publish_study(app, arriving[len(taken)], 1)
        message.ack()

    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        with Consumer(channel, queues=queues, on_message=work, accept=["json"]):
            while True:
                try:
                    connection.drain_events(timeout=2)
                except TimeoutError:
                    return taken


def test_triage_comes_next_whenever_it_arrives(settings: Settings) -> None:
    app = make_celery(settings)
    for study in range(WAITING):
        publish_batch(app, [(study, 1)])
    publish_delivery(app, 1, "gone")
    publish_study(app, 99, 1)

    taken = take(app, settings, arriving={10: 100, 11: 101, 40: 102})

    assert taken[:3] == [TRIAGE_QUEUE, DELIVERY_QUEUE, BACKLOG_QUEUE]
    assert [place for place, queue in enumerate(taken) if queue == TRIAGE_QUEUE] == [0, 10, 11, 40]
    assert taken.count(BACKLOG_QUEUE) == WAITING
