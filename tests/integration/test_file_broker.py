"""The embedded broker: messages whole or not at all, each to one worker, damage survived."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Message
from kombu.transport import filesystem

from worker.app import make_celery, publish_delivery, publish_study
from worker.file_broker import Channel, Transport
from worker.folder_watch import FolderWatch
from worker.queues import DELIVERY_QUEUE, queue_depth
from worker.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_folder=tmp_path)


def connect(settings: Settings) -> Connection:
    return make_celery(settings).connection_for_read()


def test_celery_uses_this_transport_where_no_broker_is_set(settings: Settings) -> None:
    with connect(settings) as connection:
        assert isinstance(connection.transport, Transport)


def test_messages_arrive_in_the_order_they_were_sent(settings: Settings) -> None:
    app = make_celery(settings)
    for number in range(5):
        publish_delivery(app, number, "pacs")
    publish_study(app, 7, 1)
    assert queue_depth(settings) == {"triage": 1, "delivery": 5, "backlog": 0, "sweep": 0}
    with connect(settings) as connection:
        channel = connection.default_channel
        bodies = [channel._get(DELIVERY_QUEUE)["properties"]["delivery_tag"] for _ in range(5)]
    assert len(set(bodies)) == 5
    assert queue_depth(settings) == {"triage": 1, "delivery": 0, "backlog": 0, "sweep": 0}


@pytest.mark.parametrize("content", [b"", b'{"body": "', b"\xff\xfe"])
def test_a_damaged_message_is_dropped_and_the_next_one_taken(
    settings: Settings, content: bytes
) -> None:
    app = make_celery(settings)
    publish_delivery(app, 1, "pacs")
    messages = settings.data_folder / "broker" / "messages"
    (messages / f"0.{DELIVERY_QUEUE}.msg").write_bytes(content)
    with connect(settings) as connection:
        assert connection.default_channel._get(DELIVERY_QUEUE)["body"]
    assert list(messages.iterdir()) == []


def test_routes_are_kept_for_the_next_process(settings: Settings) -> None:
    for queue in ("triage", "delivery", "triage"):
        with connect(settings) as connection:
            connection.default_channel._queue_bind("triage", queue, "", queue)
    with connect(settings) as connection:
        routes = connection.default_channel.get_table("triage")
    assert [tuple(route) for route in routes] == [
        ("delivery", "", "delivery"),
        ("triage", "", "triage"),
    ]


@pytest.mark.parametrize("content", [b"", b"[[", b"{}", b"[1]"])
def test_a_damaged_table_of_routes_is_written_anew(settings: Settings, content: bytes) -> None:
    with connect(settings) as connection:
        channel = connection.default_channel
        channel._queue_bind("triage", "triage", "", "triage")
        (table,) = (settings.data_folder / "broker" / "control").glob("*.exchange")
        table.write_bytes(content)
        channel._queue_bind("triage", "triage", "", "triage")
        assert [tuple(route) for route in channel.get_table("triage")] == [("triage", "", "triage")]


def test_the_original_transport_still_has_the_fault_that_this_one_mends(tmp_path: Path) -> None:
    """Should this fail after an upgrade of kombu, `worker.file_broker` may no longer be needed."""
    folder = str(tmp_path)
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
    with Connection(transport=filesystem.Transport, transport_options=options) as connection:
        (tmp_path / "0.delivery.msg").touch()
        with pytest.raises(ValueError, match="Expecting value"):
            connection.default_channel._get("delivery")


def test_readers_never_see_half_a_message_and_no_message_twice(settings: Settings) -> None:
    app = make_celery(settings)
    taken: list[str] = []
    done = threading.Event()

    def read() -> None:
        with connect(settings) as connection:
            channel = connection.default_channel
            while True:
                finished = done.is_set()
                try:
                    taken.append(channel._get(DELIVERY_QUEUE)["body"])
                except Empty:
                    if finished:
                        return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(300):
        publish_delivery(app, number, "pacs")
    done.set()
    for reader in readers:
        reader.join(60)
    assert len(taken) == len(set(taken)) == 300


class Consumer:
    """Waits for messages of one queue, as a worker does."""

    def __init__(self, settings: Settings) -> None:
        self._connection = connect(settings)
        self._channel = self._connection.default_channel
        queue = make_celery(settings).amqp.queues[DELIVERY_QUEUE]
        self.taken: list[float] = []
        self._consumer = self._connection.Consumer(
            [queue], callbacks=[self._take], channel=self._channel, accept=["json"]
        )

    def wait(self, seconds: float) -> None:
        """For one message; raises TimeoutError where none comes."""
        self._consumer.consume()
        self._connection.drain_events(timeout=seconds)

    def close(self) -> None:
        self._connection.close()

    def _take(self, _body: object, message: Message) -> None:
        self.taken.append(time.monotonic())
        message.ack()


@pytest.fixture
def consumer(settings: Settings) -> Iterator[Consumer]:
    made = Consumer(settings)
    yield made
    made.close()


def publish_later(settings: Settings, seconds: float) -> threading.Thread:
    thread = threading.Timer(seconds, publish_delivery, (make_celery(settings), 1, "pacs"))
    thread.start()
    return thread


def test_a_waiting_worker_is_woken_by_a_message(
    settings: Settings, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.file_broker._LOOK_EVERY_S", 60.0)
    publish_later(settings, 0.5)
    consumer.wait(20)
    assert len(consumer.taken) == 1


def test_a_waiting_worker_takes_no_look_until_something_comes(
    settings: Settings, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.file_broker._LOOK_EVERY_S", 60.0)
    looks = []
    original = Channel._messages
    monkeypatch.setattr(
        Channel, "_messages", lambda *arguments: looks.append(1) or original(*arguments)
    )
    with pytest.raises(TimeoutError):
        consumer.wait(1)
    assert len(looks) == 2  # at the beginning, and at the end


@pytest.mark.parametrize("without", ["inotify", "news of another machine's files"])
def test_a_message_that_the_system_does_not_tell_of_is_found_all_the_same(
    settings: Settings, consumer: Consumer, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    if without == "inotify":
        monkeypatch.setattr("worker.file_broker.watch_if_possible", lambda *_: None)
    else:
        deaf = FolderWatch(settings.data_folder, lambda _: False)
        monkeypatch.setattr("worker.file_broker.watch_if_possible", lambda *_: deaf)
    publish_later(settings, 0.2)
    consumer.wait(10)
    assert len(consumer.taken) == 1
