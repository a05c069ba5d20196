"""The worklist's parts, put together from the settings."""

from datetime import timedelta

from sqlalchemy import Engine

from worker.composition import make_reader, pixel_limits, utc_now
from worker.settings import Settings
from worker.worklist_pictures import RenderedPictures
from worklist.parts import Parts, SessionRules, TrustedProxy


def make_parts(settings: Settings, engine: Engine) -> Parts:
    """Over an open database; starts the child process that reads radiographs."""
    data_folder = settings.data_folder.resolve()
    reader = make_reader(settings)
    return Parts(
        engine=engine,
        clock=utc_now,
        pictures=RenderedPictures(data_folder, reader.read, pixel_limits(settings)),
        data_folder=data_folder,
        time_zone=settings.sweep.zone,
        viewer_url=settings.worklist.viewer_url,
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
