"""Which queue a message goes to, and which queues a worker takes from."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worker.app import make_celery, publish_confirmation, publish_delivery
from worker.queues import (
    BACKLOG_QUEUE,
    DELIVERY_QUEUE,
    QUEUES,
    SWEEP_QUEUE,
    TRIAGE_QUEUE,
    delivery_queue,
    queue_depth,
    queue_names,
)
from worker.settings import Destination, Settings

names = st.text(min_size=1, max_size=64)


def make_settings(folder: Path, *destinations: str) -> Settings:
    made = (Destination(name=name, ae_title="A", host="h", port=104) for name in destinations)
    return Settings(data_folder=folder, destinations=tuple(made))


def test_each_destination_has_a_queue_of_its_own(tmp_path: Path) -> None:
    app = make_celery(make_settings(tmp_path, "pacs", "research"))
    publish_delivery(app, 1, "pacs")
    publish_confirmation(app, 1, "research")
    with app.connection_for_read() as connection:
        for name in ("pacs", "research"):
            assert connection.default_channel._get(delivery_queue(name))
        assert connection.default_channel._size(DELIVERY_QUEUE) == 0


def test_what_no_destination_gets_any_more_goes_where_every_delivery_worker_takes(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path, "pacs", "research")
    publish_delivery(make_celery(settings), 1, "gone")
    with make_celery(settings).connection_for_read() as connection:
        assert connection.default_channel._size(DELIVERY_QUEUE) == 1
    for name in ("pacs", "research"):
        assert DELIVERY_QUEUE in queue_names(settings, [DELIVERY_QUEUE], [name])
    assert queue_depth(settings) == {**dict.fromkeys(QUEUES, 0), DELIVERY_QUEUE: 1}


def test_a_worker_takes_only_from_the_queues_of_its_kinds_and_destinations(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "pacs", "research")
    assert queue_names(settings, [TRIAGE_QUEUE]) == [TRIAGE_QUEUE]
    assert queue_names(settings, [DELIVERY_QUEUE], ["pacs"]) == [
        DELIVERY_QUEUE,
        delivery_queue("pacs"),
    ]
    assert set(queue_names(settings)) == {
        TRIAGE_QUEUE,
        DELIVERY_QUEUE,
        delivery_queue("pacs"),
        delivery_queue("research"),
        BACKLOG_QUEUE,
        SWEEP_QUEUE,
    }


@given(names, names)
def test_whatever_a_destination_is_called_its_queue_can_name_a_file_and_is_its_own(
    one: str, other: str
) -> None:
    assert re.fullmatch("delivery-[a-z0-9-]{1,40}", delivery_queue(one))
    assert (delivery_queue(one) == delivery_queue(other)) == (one == other)
