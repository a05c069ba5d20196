"""The long-running processes, each wired from the settings: listen, dispatch, work."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from threading import Event

import structlog

from dicom_node.storage_scp import StorageScp
from worker.app import DELIVERY_QUEUE, QUEUES, TRIAGE_QUEUE, make_celery
from worker.composition import make_screener, open_ledger, open_spool, utc_now
from worker.delivery import Deliverer
from worker.dispatch import Dispatcher
from worker.intake import Intake
from worker.logs import configure_logging
from worker.settings import Settings
from worker.tasks import register_delivery, register_screening

_log = structlog.get_logger(__name__)

_RECONCILE_EVERY_S = 60.0
_PARENT_POLL_S = 1.0


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
    )
    listener.start()
    try:
        while not stop.wait(_RECONCILE_EVERY_S):
            intake.reconcile()
    finally:
        listener.stop(settings.listener.stop_grace_s)


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
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def end_with_parent() -> None:
    """Send ourselves SIGTERM when the supervisor is gone, however it died."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
