"""The long-running processes, each wired from the settings: listen, dispatch, work."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

import structlog
from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from sqlalchemy import Engine

from db.group_commit import GroupCommit
from db.ledger import Ledger
from db.sweeps import Sweeps
from worker.app import (
    BACKLOG_QUEUE,
    DELIVERY_QUEUE,
    QUEUES,
    SWEEP_QUEUE,
    TRIAGE_QUEUE,
    make_celery,
    queue_names,
)
from worker.batches import BatchReader
from worker.collector import give_memory_back, pass_over_what_is_loaded
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
from worker.dispatch import Dispatcher
from worker.intake import Intake
from worker.logs import configure_logging
from worker.reception import make_listener, require_free_ports
from worker.settings import Settings
from worker.supervisor import Supervisor, delivery_processes, listener_processes
from worker.sweeps.sweeper import Sweeper
from worker.tasks import (
    owner_name,
    register_backlog,
    register_delivery,
    register_screening,
    register_sweeps,
)

_log = structlog.get_logger(__name__)

_RECONCILE_EVERY_S = 60.0
_TIDY_EVERY_S = 10.0
"""Associations are cycles: the longer they wait for the collector, the more pieces they leave."""
_PARENT_POLL_S = 1.0
_STOPPING = (signal.SIGTERM, signal.SIGINT)


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
    pass_over_what_is_loaded()
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
    configure_logging("listen")
    stop = stop_on_signal()
    require_free_ports(settings)
    open_ledger(settings)
    Supervisor(config, processes=listener_processes(count)).run(stop)


def _reconcile(intake: Intake) -> None:
    try:
        intake.reconcile()
    except Exception as error:  # receiving goes on whatever one file does; the next round repairs
        _log.error("reconcile_interrupted", kind=type(error).__name__)


def dispatch(settings: Settings) -> None:
    """Publish what is due until SIGTERM or SIGINT."""
    configure_logging("dispatch")
    stop = stop_on_signal()
    Dispatcher(
        open_ledger(settings),
        make_celery(settings),
        settings.study,
        settings.delivery,
        settings.sweep,
    ).run(stop)


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
    pass_over_what_is_loaded()
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
    configure_logging("work:" + DELIVERY_QUEUE)
    stop = stop_on_signal()
    open_ledger(settings)
    Supervisor(config, processes=delivery_processes(destinations)).run(stop)


def stop_on_signal() -> Event:
    """An event that SIGTERM and SIGINT set.

    By way of a pipe that the interpreter writes to at once. A Python handler runs only when the
    main thread wakes, which a signal that another thread received does not make it do; and one
    that set the event itself would wait for ever if it interrupted the event's own lock.
    """
    stop = Event()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def wait() -> None:
        while os.read(read_end, 1)[0] not in _STOPPING:
            pass
        stop.set()

    threading.Thread(target=wait, daemon=True, name="stop-on-signal").start()
    for number in _STOPPING:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return stop


def end_with(supervisor: int) -> None:
    """Send ourselves SIGTERM when the supervisor (a process id) is gone, however it died."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(_PARENT_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end-with-supervisor").start()
