"""A lock file in the data folder: held by one process at a time, released however that one ends."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import LockHeld

UP_LOCK = "up.lock"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold `file` locked, with our process id in it; the kernel releases it when we end.

    On a shared folder all machines see it, if the file system passes locks on (NFS version 4 does).

    Raises:
        LockHeld: another process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)  # children don't inherit it
    with open(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock.read())
            raise LockHeld(f"{file} is locked by {holder}", holder) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {socket.gethostname()}\n")
        lock.flush()
        yield


@contextmanager
def only_up(data_folder: Path) -> Iterator[None]:
    """Run `up` on a data folder alone.

    Raises:
        LockHeld: an `up` runs on it already.
    """
    try:
        with locked(data_folder / UP_LOCK):
            yield
    except LockHeld as error:
        raise LockHeld(
            f"data_folder {data_folder.absolute()} is in use by {error.holder}, another "
            "`fracture-screen up`: stop that one first, or set another data_folder",
            error.holder,
        ) from None


def _holder(written: str) -> str:
    """Return "process 17", with its machine if that is another one."""
    pid, _, host = written.strip().partition(" ")
    where = f" on {host}" if host and host != socket.gethostname() else ""
    return f"process {pid}{where}" if pid else "another process"
