"""Settings in, the worklist's parts out; and what serves it."""

from datetime import timedelta

import structlog
from sqlalchemy import Engine

from worker.composition import (
    make_cold_reader,
    make_corrections,
    open_database,
    pixel_limits,
    utc_now,
)
from worker.logs import configure_logging
from worker.settings import Settings
from worker.stopping import stop_on_signal
from worker.web_server import Address, serve_until
from worker.worklist_pictures import RenderedPictures
from worklist.app import make_app, stop_streams
from worklist.parts import Parts, SessionRules, TrustedProxy

_log = structlog.get_logger(__name__)


def run_worklist(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished first."""
    configure_logging("worklist")
    stop = stop_on_signal()
    engine = open_database(settings)
    app = make_app(make_parts(settings, engine))
    own = settings.worklist
    address = Address(own.host, own.port, own.tls_certificate_file, own.tls_key_file)
    _log.info("worklist_serves", host=own.host, port=own.port, tls=bool(own.tls_certificate_file))
    try:
        serve_until(stop, app, address, before_end=lambda: stop_streams(app))
    finally:
        engine.dispose()


def make_parts(settings: Settings, engine: Engine) -> Parts:
    """Over an open database; the child that reads radiographs starts with the first picture."""
    data_folder = settings.data_folder.resolve()
    reader = make_cold_reader(settings)
    return Parts(
        engine=engine,
        clock=utc_now,
        pictures=RenderedPictures(data_folder, reader.read, pixel_limits(settings)),
        data_folder=data_folder,
        time_zone=settings.sweep.zone,
        viewer_url=settings.worklist.viewer_url,
        corrector=make_corrections(settings, engine),
        sessions=_session_rules(settings),
        trusted_proxy=_trusted_proxy(settings),
    )


def _session_rules(settings: Settings) -> SessionRules:
    own = settings.worklist
    return SessionRules(
        idle=timedelta(minutes=own.session_idle_minutes),
        longest=timedelta(hours=own.session_hours),
        failures_to_lock=own.failures_to_lock,
        lock=timedelta(minutes=own.lock_minutes),
        secure_cookies=own.secure_cookies,
    )


def _trusted_proxy(settings: Settings) -> TrustedProxy | None:
    own = settings.worklist
    if not own.trusted_proxies:
        return None
    return TrustedProxy(own.trusted_proxies, own.trusted_header)
