"""The Celery application: broker, queues, and what keeps tasks from being lost or doubled."""

import gc
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery, Task
from kombu.entity import Queue

from worker.broker_watch import NoticeLostBroker
from worker.file_broker import TRANSPORT
from worker.settings import Settings

TRIAGE_QUEUE = "triage"
DELIVERY_QUEUE = "delivery"
"""Stands for the queues of all destinations, and is that of what no destination of ours gets."""
BACKLOG_QUEUE = "backlog"
"""Studies that sweeps brought."""
SWEEP_QUEUE = "sweep"
"""What moves sweeps on. It waits for a PACS: no worker that screens or delivers takes from it."""
QUEUES = (TRIAGE_QUEUE, DELIVERY_QUEUE, BACKLOG_QUEUE, SWEEP_QUEUE)
"""In the order in which they are emptied."""
SCREEN_BATCH_TASK = "fracture_screen.screen_batch"
ADVANCE_SWEEPS_TASK = "fracture_screen.advance_sweeps"
BEGIN_SWEEP_TASK = "fracture_screen.begin_scheduled_sweep"
SCREEN_TASK = "fracture_screen.screen_study"
DELIVER_TASK = "fracture_screen.deliver_results"
CONFIRM_TASK = "fracture_screen.confirm_results"


class CollectingTask(Task):  # type: ignore[misc]  # celery ships no types
    """Frees what a task left in cycles, as reports and associations are.

    A report's cycle holds its pictures: without this a worker grew by 50 KB per study and more.
    """

    def after_return(self, *_: object) -> None:
        """Called by Celery in the worker after each run of the task, broken ones too."""
        gc.collect()


def make_celery(settings: Settings) -> Celery:
    """An application that is connected to nothing yet.

    Messages hold ids only, as JSON. A task is acknowledged after it ran; a doubled message is
    harmless, since work is claimed in the ledger.
    """
    app = Celery(
        "fracture_screen",
        broker=settings.broker_url or "filesystem://",
        task_cls=CollectingTask,
        set_as_current=False,
    )
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_queues=[_queue(name) for name in queue_names(settings)],
        task_default_queue=TRIAGE_QUEUE,
        task_create_missing_queues=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=settings.listener.stop_grace_s,
        broker_connection_retry_on_startup=True,
        broker_transport=None if settings.broker_url else TRANSPORT,
        broker_transport_options=_transport_options(settings),
    )
    app.steps["consumer"].add(NoticeLostBroker)
    return app


def queue_names(
    settings: Settings, kinds: Sequence[str] = QUEUES, destinations: Sequence[str] | None = None
) -> list[str]:
    """The broker's queues of these kinds; of delivery, a queue per destination (default: of all).

    So a worker of its own can serve each, and a PACS that is slow or silent holds up no other.
    """
    names = settings.destination_names if destinations is None else destinations
    of_delivery = [DELIVERY_QUEUE, *map(delivery_queue, names)]
    return [
        *([TRIAGE_QUEUE] if TRIAGE_QUEUE in kinds else []),
        *(of_delivery if DELIVERY_QUEUE in kinds else []),
        *(name for name in (BACKLOG_QUEUE, SWEEP_QUEUE) if name in kinds),
    ]


def delivery_queue(destination: str) -> str:
    """Name of a destination's queue: of few letters, since it becomes part of a file's name."""
    digest = hashlib.sha256(destination.encode()).hexdigest()
    readable = re.sub("[^a-z0-9]+", "-", destination.lower()).strip("-")
    return f"{DELIVERY_QUEUE}-{readable[:24]}-{digest[:8]}"


def publish_study(app: Celery, study_id: int, revision: int) -> None:
    """Queue one study for screening. Raises kombu's OperationalError if the broker is away."""
    app.send_task(SCREEN_TASK, (study_id, revision), queue=TRIAGE_QUEUE, retry=False)


def publish_batch(app: Celery, studies: Sequence[tuple[int, int]]) -> None:
    """Queue (study, revision)s of the backlog, to be screened together. Raises likewise."""
    app.send_task(SCREEN_BATCH_TASK, (list(studies),), queue=BACKLOG_QUEUE, retry=False)


def publish_delivery(app: Celery, study_id: int, destination: str) -> None:
    """Queue a study's due results for one destination. Raises as `publish_study`."""
    queue = _queue_of(app, destination)
    app.send_task(DELIVER_TASK, (study_id, destination), queue=queue, retry=False)


def publish_confirmation(app: Celery, study_id: int, destination: str) -> None:
    """Queue the question whether a destination keeps a study's results. Raises likewise."""
    queue = _queue_of(app, destination)
    app.send_task(CONFIRM_TASK, (study_id, destination), queue=queue, retry=False)


def queue_depth(settings: Settings) -> dict[str, int]:
    """Messages waiting per kind of queue. Raises kombu's OperationalError if the broker is away."""
    queues = {kind: queue_names(settings, [kind]) for kind in QUEUES}
    if not settings.broker_url:
        waiting = [path.name.split(".")[-2] for path in _messages_folder(settings).glob("*.msg")]
        return {kind: sum(name in names for name in waiting) for kind, names in queues.items()}
    with make_celery(settings).connection_for_read() as connection:
        channel = connection.default_channel

        def depth(queue: str) -> int:
            return int(channel.queue_declare(queue, passive=False, durable=True).message_count)

        return {kind: sum(map(depth, names)) for kind, names in queues.items()}


def _queue_of(app: Celery, destination: str) -> str:
    queue = delivery_queue(destination)
    return queue if queue in app.amqp.queues else DELIVERY_QUEUE


def _queue(name: str) -> Queue:
    return Queue(name, routing_key=name)  # type: ignore[no-untyped-call]  # kombu's is untyped


def _transport_options(settings: Settings) -> dict[str, Any]:  # Any: as kombu takes them
    if settings.broker_url:
        # Longer than any lease: Redis gives a message to a second worker after this time.
        return {
            "visibility_timeout": max(3600, 2 * settings.study.lease_s),
            "queue_order_strategy": "priority",
        }
    messages = _messages_folder(settings)
    control = messages.parent / "control"
    for folder in (messages, control):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "polling_interval": 0.05,
    }


def _messages_folder(settings: Settings) -> Path:
    return settings.data_folder.resolve() / "broker" / "messages"
