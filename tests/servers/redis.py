"""A private Redis for the tests: own folder, free port, nothing kept."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.servers.ports import free_port


class PrivateRedis:
    """A server on a port of its own that can be flushed and restarted; it keeps nothing."""

    def __init__(self, folder: Path, *, append_only: bool = False) -> None:
        self._folder, self._append_only = folder, append_only
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Return once it answers."""
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", ""]
        command += ["--appendonly", "yes" if self._append_only else "no"]
        command += ["--maxmemory-policy", "noeviction"]
        self._server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_until_it_answers(self._port)

    def stop(self) -> None:
        """End it; all that it held is lost."""
        self._server.terminate()
        self._server.wait(10)

    def flush(self) -> None:
        """Lose every message, queue and binding, while it runs."""
        with redis.Redis(port=self._port) as client:
            client.flushall()


@contextmanager
def restartable_redis(folder: Path, *, append_only: bool = False) -> Iterator[PrivateRedis]:
    """A running server, stopped afterwards; `append_only`: it writes down what it is given."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server (Debian: apt install redis-server)")
    server = PrivateRedis(folder, append_only=append_only)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Start a server, yield its URL, stop it."""
    with restartable_redis(folder) as server:
        yield server.url


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty Redis."""
    with private_redis(tmp_path) as url:
        yield url


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 20
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
