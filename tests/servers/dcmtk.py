"""DCMTK's command line tools as peers: senders and a receiver that owe pynetdicom nothing."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.instance import RemoteAE
from tests.servers.ports import free_port

needs_dcmtk = pytest.mark.skipif(
    shutil.which("storescu") is None, reason="needs DCMTK's tools (apt install dcmtk)"
)

# Without it, Nagle's algorithm makes DCMTK's tools 25 times slower.
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def run_echoscu(remote: RemoteAE) -> subprocess.CompletedProcess[str]:
    """C-ECHO; exit status 0 means verified."""
    return _run("echoscu", "-aec", remote.ae_title, remote.host, str(remote.port))


def run_storescu(
    remote: RemoteAE, paths: Sequence[Path], *options: str
) -> subprocess.CompletedProcess[str]:
    """C-STORE on one association; `options` such as `-xs` pick the transfer syntax proposed."""
    address = ("-aec", remote.ae_title, remote.host, str(remote.port))
    return _run("storescu", "-v", *options, *address, *map(str, paths))


def run_dcmsend(remote: RemoteAE, paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """C-STORE of files in the encoding they are in."""
    address = ("-aec", remote.ae_title, remote.host, str(remote.port))
    options = ("-v", "--no-uid-checks", "--decompress-never")
    return _run("dcmsend", *options, *address, *map(str, paths))


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[RemoteAE]:
    """A running storescp that writes what it gets, bit-preserving, into `folder`."""
    port = free_port()
    command = ["storescp", "-aet", "STORESCP", "-od", str(folder), "+B", *options, str(port)]
    process = subprocess.Popen(
        command, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_listening(port)
        yield RemoteAE("STORESCP", "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait(10)


def wait_until_listening(port: int, timeout_s: float = 20) -> None:
    """Return once `port` accepts connections; TimeoutError if it never does."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port} after {timeout_s} s")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=_ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
