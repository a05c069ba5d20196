"""Settings in, the monitor's parts out; and what runs it."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from kombu.exceptions import OperationalError
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from db.registry import ModelRegistry
from db.session import make_engine
from models.bundle import CARD_FILE, WEIGHTS_FILE
from worker.composition import MIB, make_folders, utc_now
from worker.errors import SettingsError
from worker.logs import configure_logging
from worker.queues import queue_depth
from worker.settings import Settings
from worker.stopping import stop_on_signal
from worker.web_server import Address, serve_until
from worklist.monitor.app import make_monitor
from worklist.monitor.notifier import Notifier
from worklist.monitor.parts import ModelsInUse, MonitorParts, Webhook
from worklist.monitor.snapshot import Limits
from worklist.monitor.watch import Watch
from worklist.signing import read_secret

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # to be replaced
_PATIENCE = {"connect_timeout": "5", "tcp_user_timeout": "10000"}
"""libpq: seconds, milliseconds. A look must end, so that the next one can tell."""


def run_monitor(settings: Settings) -> None:
    """Serve health and metrics, and send alarms, until SIGTERM or SIGINT."""
    configure_logging("monitor")
    stop = stop_on_signal()
    make_folders(settings)
    parts = make_monitor_parts(settings)
    watch = Watch(parts)
    _start("watch", watch.run, stop)
    if parts.webhook is not None:
        notifier = Notifier(parts.webhook, parts.clock)
        _start("notifier", notifier.run, lambda: watch.alarms, stop)
    app = make_monitor(watch, parts.limits, parts.clock)
    serve_until(stop, app, Address(settings.monitor.host, settings.monitor.port))


def make_monitor_parts(settings: Settings) -> MonitorParts:
    """Connected to nothing yet.

    Raises:
        SettingsError: the file with the webhook's secret cannot be read, or is too short.
    """
    engine = make_engine(impatient_url(settings.effective_database_url))
    return MonitorParts(
        engine=engine,
        clock=utc_now,
        surroundings=_Surroundings(settings, engine),
        limits=monitor_limits(settings),
        quiet=timedelta(seconds=settings.study.quiet_period_s),
        data_folder=settings.data_folder,
        quarantine_folder=settings.spool_folder / "quarantine",
        listener=listener_address(settings),
        destinations=settings.destination_names,
        version=version("fracture-screen"),
        webhook=_webhook(settings),
    )


def monitor_limits(settings: Settings) -> Limits:
    """From when on something is trouble."""
    own = settings.monitor
    return Limits(
        look_every=timedelta(seconds=own.look_every_s),
        ready_wait=timedelta(seconds=own.ready_wait_s),
        waiting=timedelta(seconds=own.waiting_alarm_s),
        dispatch=timedelta(seconds=own.dispatch_alarm_s),
        circuit=timedelta(seconds=own.circuit_alarm_s),
        sweep=timedelta(seconds=own.sweep_alarm_s),
        disk_warning=own.disk_warning_mib * MIB,
        disk_watermark=settings.listener.minimum_free_mib * MIB,
        raise_after=timedelta(seconds=own.raise_after_s),
        resolve_after=timedelta(seconds=own.resolve_after_s),
        not_analysed_share=own.not_analysed_alarm_share,
        not_analysed_fewest=own.not_analysed_alarm_radiographs,
    )


def listener_address(settings: Settings) -> tuple[str, int]:
    """Where the listener is tried from this machine."""
    listener = settings.listener
    host = settings.monitor.listener_host or reachable_host(listener.host)
    return host, listener.port if listener.plain else listener.tls.port


def reachable_host(host: str) -> str:
    """Where this machine reaches what it serves on `host`, which may be every address."""
    return _ANY_ADDRESS.get(host, host)


def _webhook(settings: Settings) -> Webhook | None:
    own = settings.monitor
    if not own.alarm_webhook or own.alarm_secret_file is None:
        return None
    try:
        secret = read_secret(own.alarm_secret_file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"monitor.alarm_secret_file: {error}") from error
    return Webhook(
        url=own.alarm_webhook,
        secret=secret,
        timeout_s=own.alarm_timeout_s,
        repeat=timedelta(hours=own.repeat_hours),
        sender=f"{settings.listener.ae_title}@{socket.gethostname()}",
    )


def impatient_url(database_url: str) -> str:
    """The URL with time limits, where it is one of PostgreSQL and sets none itself."""
    url = make_url(database_url)
    if url.get_backend_name() != "postgresql":
        return database_url
    limits = {**_PATIENCE, "options": "-c statement_timeout=10000"}
    missing = {name: value for name, value in limits.items() if name not in url.query}
    return url.update_query_dict(missing).render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    settings: Settings
    engine: Engine

    def queues(self) -> Mapping[str, int] | None:
        try:
            return queue_depth(self.settings)
        except (OperationalError, OSError):
            return None

    def models(self) -> ModelsInUse:
        """A look for their cards only: reading weights takes seconds."""
        speaking = ModelRegistry(self.engine, utc_now).speaking()
        own, root = self.settings.model.bundle, self.settings.data_folder
        labels, folders = {}, {}
        for purpose, record in (("champion", speaking.champion), ("shadow", speaking.shadow)):
            if record is not None:
                labels[purpose], folders[record.label] = record.label, root / record.path
        if speaking.champion is None:
            labels["champion"], folders["the bundle of the settings"] = _label(own), own
        missing = tuple(label for label, folder in folders.items() if not _is_there(folder))
        return ModelsInUse(labels, missing)


def _is_there(bundle: Path) -> bool:
    return (bundle / CARD_FILE).is_file() and (bundle / WEIGHTS_FILE).is_file()


def _label(bundle: Path) -> str:
    """Name and version as its card says them; "" if it cannot be read."""
    try:
        card = json.loads((bundle / CARD_FILE).read_text())
        return f"{card['name']}-{card['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _start(name: str, target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True, name=name).start()
