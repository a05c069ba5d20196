"""The embedded broker: each message once and whole, and never outside the data folder."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from threading import Event

import pytest
from kombu import Connection
from structlog.testing import capture_logs

from worker.app import (
    DELIVERY_QUEUE,
    TRIAGE_QUEUE,
    make_celery,
    publish_delivery,
    publish_study,
    queue_depth,
)
from worker.message_files import Channel
from worker.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_folder=tmp_path / "data")


@pytest.fixture
def channel(settings: Settings) -> Iterator[Channel]:
    with make_celery(settings).connection_for_read() as connection:
        yield connection.default_channel


def messages_folder(settings: Settings) -> Path:
    return settings.data_folder / "broker" / "messages"


def test_messages_come_out_in_the_order_they_went_in(channel: Channel) -> None:
    for number in range(20):
        channel._put(TRIAGE_QUEUE, {"number": number})
    assert [channel._get(TRIAGE_QUEUE)["number"] for _ in range(20)] == list(range(20))
    with pytest.raises(Empty):
        channel._get(TRIAGE_QUEUE)


def test_a_queue_gives_its_own_messages_alone(settings: Settings, channel: Channel) -> None:
    app = make_celery(settings)
    publish_study(app, 1, 1)
    publish_delivery(app, 1, "PACS")
    assert queue_depth(settings) == {TRIAGE_QUEUE: 1, DELIVERY_QUEUE: 1}
    assert channel._get(DELIVERY_QUEUE)["headers"]["argsrepr"] == "(1, 'PACS')"
    assert queue_depth(settings) == {TRIAGE_QUEUE: 1, DELIVERY_QUEUE: 0}


def test_a_message_that_is_being_written_is_not_seen(settings: Settings, channel: Channel) -> None:
    """kombu's own transport gave it away empty, and the worker died."""
    channel._put(TRIAGE_QUEUE, {"number": 1})
    (whole,) = messages_folder(settings).iterdir()
    whole.rename(whole.with_name(f".{whole.name}.new"))
    with pytest.raises(Empty):
        channel._get(TRIAGE_QUEUE)


def test_an_unreadable_message_is_passed_over_and_logged(
    settings: Settings, channel: Channel
) -> None:
    (messages_folder(settings) / f"{0:020d}_x.{TRIAGE_QUEUE}.msg").write_bytes(b"")
    channel._put(TRIAGE_QUEUE, {"number": 1})
    with capture_logs() as logs:
        assert channel._get(TRIAGE_QUEUE) == {"number": 1}
    assert [entry["event"] for entry in logs] == ["message_unreadable"]


def test_writers_and_readers_at_once_pass_each_message_on_once(settings: Settings) -> None:
    ended = Event()

    def write(first: int) -> None:
        with _connection(settings) as connection:
            for number in range(first, first + 150):
                connection.default_channel._put(TRIAGE_QUEUE, {"number": number})

    def read() -> list[int]:
        numbers = []
        with _connection(settings) as connection:
            while True:
                last = ended.is_set()
                try:
                    numbers.append(connection.default_channel._get(TRIAGE_QUEUE)["number"])
                except Empty:
                    if last:
                        return numbers
                    time.sleep(0.001)

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        for writer in [pool.submit(write, first) for first in (0, 150)]:
            writer.result()
        ended.set()
        taken = [number for reader in readers for number in reader.result()]

    assert sorted(taken) == list(range(300))
    assert list(messages_folder(settings).iterdir()) == []


def _connection(settings: Settings) -> Connection:
    return make_celery(settings).connection_for_read()
