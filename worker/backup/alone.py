"""Backup and purge one at a time: what is being copied must not be removed meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import BackupRefused, LockHeld
from worker.folder_lock import locked

LOCK = "maintenance.lock"


@contextmanager
def alone(data_folder: Path, what: str) -> Iterator[None]:
    """Hold the data folder's lock of backup and purge.

    Raises:
        BackupRefused: another process holds it.
    """
    try:
        with locked(data_folder / LOCK):
            yield
    except LockHeld as error:
        raise BackupRefused(
            f"a backup or a purge of {data_folder} is under way ({error.holder}): {what} when it "
            "has ended"
        ) from None
