"""The Celery application: broker, queues, and what keeps tasks from being lost or doubled."""

import gc
from collections.abc import Sequence
from typing import Any

from celery import Celery, Task
from kombu.entity import Queue

from worker.broker_watch import NoticeLostBroker
from worker.file_broker import TRANSPORT
from worker.queues import (
    BACKLOG_QUEUE,
    DELIVERY_QUEUE,
    TRIAGE_QUEUE,
    delivery_queue,
    messages_folder,
    queue_names,
)
from worker.settings import Settings

SCREEN_BATCH_TASK = "fracture_screen.screen_batch"
ADVANCE_SWEEPS_TASK = "fracture_screen.advance_sweeps"
BEGIN_SWEEP_TASK = "fracture_screen.begin_scheduled_sweep"
SCREEN_TASK = "fracture_screen.screen_study"
REPORT_FAILURE_TASK = "fracture_screen.report_failure"
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


def publish_study(app: Celery, study_id: int, revision: int) -> None:
    """Queue one study for screening. Raises kombu's OperationalError if the broker is away."""
    app.send_task(SCREEN_TASK, (study_id, revision), queue=TRIAGE_QUEUE, retry=False)


def publish_batch(app: Celery, studies: Sequence[tuple[int, int]]) -> None:
    """Queue (study, revision)s of the backlog, to be screened together. Raises likewise."""
    app.send_task(SCREEN_BATCH_TASK, (list(studies),), queue=BACKLOG_QUEUE, retry=False)


def publish_failure(app: Celery, study_id: int, revision: int) -> None:
    """Queue the report of a study that FAILED outside of a task. Raises likewise."""
    app.send_task(REPORT_FAILURE_TASK, (study_id, revision), queue=TRIAGE_QUEUE, retry=False)


def publish_delivery(app: Celery, study_id: int, destination: str) -> None:
    """Queue a study's due results for one destination. Raises as `publish_study`."""
    queue = _queue_of(app, destination)
    app.send_task(DELIVER_TASK, (study_id, destination), queue=queue, retry=False)


def publish_confirmation(app: Celery, study_id: int, destination: str) -> None:
    """Queue the question whether a destination keeps a study's results. Raises likewise."""
    queue = _queue_of(app, destination)
    app.send_task(CONFIRM_TASK, (study_id, destination), queue=queue, retry=False)


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
    messages = messages_folder(settings)
    control = messages.parent / "control"
    # Each by itself: `parents` would make the data folder readable for all users.
    for folder in (settings.data_folder, messages.parent, messages, control):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "polling_interval": 0.05,
    }
