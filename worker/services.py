"""The long-running processes, each wired from the settings: listen, dispatch, work."""

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog
from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from sqlalchemy import Engine

from db.group_commit import GroupCommit
from db.ledger import Ledger
from db.sweeps import Sweeps
from worker.app import make_celery
from worker.batches import BatchReader
from worker.collector import freeze_loaded_objects, give_memory_back
from worker.commitments import make_commitments
from worker.composition import (
    make_batch_readers,
    make_champions,
    make_confirmer,
    make_deliverer,
    make_places,
    open_database,
    open_ledger,
    open_spool,
    utc_now,
)
from worker.confirmation import record_report
from worker.dispatch import Dispatcher, watch_ledger
from worker.intake import Intake
from worker.logs import configure_logging
from worker.queues import (
    BACKLOG_QUEUE,
    DELIVERY_QUEUE,
    QUEUES,
    SWEEP_QUEUE,
    TRIAGE_QUEUE,
    queue_names,
)
from worker.reception import make_listener
from worker.settings import Settings
from worker.stopping import signal_pipe, stop_on_signal
from worker.supervisor import Supervisor, delivery_processes, listener_processes
from worker.sweeps.sweeper import Sweeper
from worker.tasks import (
    owner_name,
    register_backlog,
    register_delivery,
    register_failure_reports,
    register_screening,
    register_sweeps,
)

_log = structlog.get_logger(__name__)

_RECONCILE_EVERY_S = 60.0
_TIDY_EVERY_S = 10.0
"""Associations are cycles: the longer they wait for the collector, the more pieces they leave."""


def listen(settings: Settings, *, reuse_port: bool = False) -> None:
    """Receive instances until SIGTERM or SIGINT; open associations are finished first.

    With `reuse_port`, other processes may listen on the same ports.
    """
    configure_logging("listen")
    stop = stop_on_signal()
    spool = open_spool(settings)
    engine = open_database(settings)
    ledger = Ledger(engine, utc_now)
    group = GroupCommit(ledger)
    intake = Intake(ledger, spool, settings.data_folder, group.register_instance)
    intake.reconcile()
    commitments = make_commitments(settings, engine)
    listener = make_listener(
        settings,
        spool,
        intake.register,
        reuse_port=reuse_port,
        commitments=commitments,
        on_report=partial(record_report, ledger),
    )
    listener.start()
    commitments.start()
    freeze_loaded_objects()
    try:
        reconciled = time.monotonic()
        while not stop.wait(_TIDY_EVERY_S):
            give_memory_back()
            if time.monotonic() - reconciled >= _RECONCILE_EVERY_S:
                _reconcile(intake)
                reconciled = time.monotonic()
    finally:
        listener.stop(settings.listener.stop_grace_s)
        commitments.stop()


def listen_in_processes(settings: Settings, config: Path | None, count: int) -> None:
    """Run `count` listener processes on the same ports until SIGTERM or SIGINT."""
    configure_logging("listen", catch_prints=False)
    signals = signal_pipe()
    open_database(settings).dispose()
    Supervisor(config, processes=listener_processes(count)).run(signals)


def _reconcile(intake: Intake) -> None:
    try:
        intake.reconcile()
    except Exception as error:  # receiving goes on whatever one file does; the next round repairs
        _log.error("reconcile_interrupted", kind=type(error).__name__)


def dispatch(settings: Settings) -> None:
    """Publish what is due until SIGTERM or SIGINT."""
    configure_logging("dispatch")
    ledger = open_ledger(settings)
    changes = watch_ledger(settings)
    stop = stop_on_signal(changes.wake if changes else lambda: None)
    dispatcher = Dispatcher(
        ledger, make_celery(settings), settings.study, settings.delivery, settings.sweep
    )
    freeze_loaded_objects()
    dispatcher.run(stop, changes)


def work(
    settings: Settings, queues: Sequence[str] = QUEUES, destinations: Sequence[str] | None = None
) -> None:
    """Take tasks from `queues`, one at a time, until SIGTERM; the present task is finished first.

    Of the delivery queue, those for `destinations` (default: all). One process and no fork (solo
    pool): TensorFlow does not survive one.
    """
    configure_logging("work:" + ",".join(queues))
    app = make_celery(settings)
    engine = open_database(settings)
    ledger = Ledger(engine, utc_now)
    if {TRIAGE_QUEUE, BACKLOG_QUEUE} & set(queues):
        champions, shadow = make_champions(settings, engine)
        champions.screener()  # now, so that the first study does not wait for it
        register_screening(app, settings, ledger, champions.screener, shadow.score)
        register_failure_reports(app, settings, ledger)
        if BACKLOG_QUEUE in queues:
            reader = BatchReader(make_batch_readers(settings))
            sweeps = Sweeps(engine, utc_now)
            register_backlog(app, settings, ledger, sweeps, champions.screener, reader)
    if DELIVERY_QUEUE in queues:
        register_delivery(app, make_deliverer(settings, ledger), make_confirmer(settings, ledger))
    if SWEEP_QUEUE in queues:
        _prepare_sweeps(app, settings, engine, ledger)
    worker = app.Worker(
        hostname=f"{'-'.join(queues)}.{os.getpid()}@%h",
        pool="solo",
        queues=queue_names(settings, queues, destinations),
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.set_process_status = lambda _status: None  # `ps` shows the command, not Celery's title
    freeze_loaded_objects()
    _log.info("worker_started", queues=list(queues))
    worker.start()


def _prepare_sweeps(app: Celery, settings: Settings, engine: Engine, ledger: Ledger) -> None:
    """Tasks and beat, which lives in a thread of each worker that moves sweeps on.

    Any number may beat: what they ask for is done once, by what the database holds.
    """
    sweeps, places = Sweeps(engine, utc_now), make_places(settings)
    sweeper = Sweeper(settings, sweeps, open_spool(settings), places.of, owner_name(), utc_now)
    register_sweeps(app, settings, ledger, sweeps, sweeper)
    EmbeddedService(app, thread=True, scheduler_cls=Scheduler).start()


def deliver_in_processes(
    settings: Settings, config: Path | None, destinations: Sequence[str]
) -> None:
    """Run a delivery worker per destination until SIGTERM or SIGINT."""
    configure_logging("work:" + DELIVERY_QUEUE, catch_prints=False)
    signals = signal_pipe()
    open_database(settings).dispose()
    Supervisor(config, processes=delivery_processes(destinations)).run(signals)
