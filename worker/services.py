"""The long-running processes, each wired from the settings: listen, dispatch, work."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from threading import Event

import structlog

from db.errors import LedgerUnavailable
from dicom_node.storage_scp import StorageScp
from worker.app import DELIVERY_QUEUE, QUEUES, TRIAGE_QUEUE, make_celery
from worker.composition import MIB, make_screener, open_ledger, open_spool, utc_now
from worker.delivery import Deliverer
from worker.dispatch import Dispatcher
from worker.intake import Intake
from worker.logs import configure_logging
from worker.settings import Settings
from worker.tasks import register_delivery, register_screening

_log = structlog.get_logger(__name__)

_RECONCILE_EVERY_S = 60.0
_PARENT_POLL_S = 1.0
_STOPPING = (signal.SIGTERM, signal.SIGINT)


def listen(settings: Settings) -> None:
    """Receive instances until SIGTERM or SIGINT; open associations are finished first."""
    configure_logging("listen")
    stop = stop_on_signal()
    spool = open_spool(settings)
    intake = Intake(open_ledger(settings), spool, settings.data_folder)
    intake.reconcile()
    listener = StorageScp(
        ae_title=settings.listener.ae_title,
        host=settings.listener.host,
        port=settings.listener.port,
        spool=spool,
        sink=intake.register,
        maximum_associations=settings.listener.maximum_associations,
        maximum_instance_bytes=settings.limits.maximum_instance_mib * MIB,
    )
    listener.start()
    try:
        while not stop.wait(_RECONCILE_EVERY_S):
            _reconcile(intake)
    finally:
        listener.stop(settings.listener.stop_grace_s)


def _reconcile(intake: Intake) -> None:
    try:
        intake.reconcile()
    except LedgerUnavailable:  # senders are told to send again later; the next round repairs
        _log.error("reconcile_interrupted", kind=LedgerUnavailable.__name__)


def dispatch(settings: Settings) -> None:
    """Publish what is due until SIGTERM or SIGINT."""
    configure_logging("dispatch")
    stop = stop_on_signal()
    Dispatcher(open_ledger(settings), make_celery(settings), settings.study).run(stop)


def work(settings: Settings, queues: Sequence[str] = QUEUES) -> None:
    """Take tasks from `queues`, one at a time, until SIGTERM; the present task is finished first.

    One process and no fork (solo pool): TensorFlow does not survive one.
    """
    configure_logging("work:" + ",".join(queues))
    app = make_celery(settings)
    ledger = open_ledger(settings)
    if TRIAGE_QUEUE in queues:
        register_screening(app, settings, ledger, make_screener(settings))
    if DELIVERY_QUEUE in queues:
        register_delivery(app, Deliverer(settings, ledger, utc_now))
    worker = app.Worker(
        hostname=f"{'-'.join(queues)}.{os.getpid()}@%h",
        pool="solo",
        queues=list(queues),
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    _log.info("worker_started", queues=list(queues))
    worker.start()


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
