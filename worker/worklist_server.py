"""The worklist's process: uvicorn with our settings, our log and our way to stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import structlog
import uvicorn
from fastapi import FastAPI

from worker.composition import open_database
from worker.logs import configure_logging
from worker.services import stop_on_signal
from worker.settings import Settings
from worker.worklist_parts import make_parts
from worklist.app import make_app, stop_streams

_log = structlog.get_logger(__name__)

_GRACE_S = 5


def serve_worklist(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished first."""
    configure_logging("worklist")
    stop = stop_on_signal()
    engine = open_database(settings)
    app = make_app(make_parts(settings, engine))
    server = _Server(_configuration(settings, app))
    threading.Thread(
        target=_end_on, args=(stop, app, server), daemon=True, name="end-worklist"
    ).start()
    own = settings.worklist
    _log.info("worklist_serves", host=own.host, port=own.port, tls=bool(own.tls_certificate_file))
    try:
        server.run()
    finally:
        engine.dispose()
    if not server.started:
        raise SystemExit(1)


class _Server(uvicorn.Server):
    """Signals are ours: see `stop_on_signal`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def _configuration(settings: Settings, app: FastAPI) -> uvicorn.Config:
    own = settings.worklist
    return uvicorn.Config(
        app,
        host=own.host,
        port=own.port,
        ssl_certfile=own.tls_certificate_file,
        ssl_keyfile=own.tls_key_file,
        log_config=None,
        # Its lines would hold query strings, and searches name patients.
        access_log=False,
        server_header=False,
        # Only our own code decides whose word to take for who asks.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def _end_on(stop: Event, app: FastAPI, server: uvicorn.Server) -> None:
    stop.wait()
    # Streams would never end by themselves, and the server waits for its answers to end.
    stop_streams(app)
    server.should_exit = True
