"""Serves an ASGI application until the process is told to stop."""

import socket
import threading
from threading import Event

import uvicorn
from fastapi import FastAPI

_GRACE_S = 5
_POLL_S = 0.5


def serve_until(app: FastAPI, host: str, port: int, stop: Event) -> None:
    """Serve until `stop` is set; requests under way get some seconds to end.

    In a thread, since uvicorn would take the signals in the main one.

    Raises:
        OSError: the port cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.create_server((host, port), family=family)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([opened],), name="web-server")
    thread.start()
    while thread.is_alive() and not stop.wait(_POLL_S):
        pass
    server.should_exit = True
    thread.join()
