"""Serves a web application until the process is told to stop."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

_GRACE_S = 5
_TICK_S = 1.0


class Address(NamedTuple):
    """Where a server is reached; over TLS alone if it has a certificate."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


def serve_until(
    stop: Event, app: FastAPI, address: Address, before_end: Callable[[], None] = lambda: None
) -> None:
    """Serve until `stop` is set; requests under way get some seconds to end.

    `before_end` ends answers that would never end by themselves.

    Raises:
        SystemExit: the address cannot be opened; the log says why.
    """
    server = _Server(_configuration(app, address))
    threading.Thread(
        target=_end_on, args=(stop, server, before_end), daemon=True, name="end-server"
    ).start()
    server.run()
    if not server.started:
        raise SystemExit(1)


class _Server(uvicorn.Server):
    """Signals are ours: see `worker.stopping.stop_on_signal`."""

    async def main_loop(self) -> None:
        """Wake once a second, for the date in the answers, where uvicorn's own does ten times."""
        while not await self.on_tick(0):
            await asyncio.sleep(_TICK_S)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def _configuration(app: FastAPI, address: Address) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        log_config=None,
        # Its lines would hold query strings, and searches name patients.
        access_log=False,
        server_header=False,
        # Only our own code decides whose word to take for who asks.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def _end_on(stop: Event, server: uvicorn.Server, before_end: Callable[[], None]) -> None:
    stop.wait()
    before_end()
    server.should_exit = True
