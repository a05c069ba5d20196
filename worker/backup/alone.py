"""Backup and purge one at a time: what is being copied must not be removed meanwhile."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import BackupRefused

LOCK = "maintenance.lock"


@contextmanager
def alone(data_folder: Path, what: str) -> Iterator[None]:
    """Hold the data folder's lock; a process that dies loses it.

    On a shared folder all machines see it, if the file system passes locks on (NFS version 4 does).
    BackupRefused: another one holds it.
    """
    with (data_folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(
                f"a backup or a purge of {data_folder} is under way: {what} when it has ended"
            ) from None
        yield
