"""The mark of a restore that has not come to its end: nothing may run on half of a data folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_node.spool import sync_folder, write_file_durably
from worker.errors import RestoreUnfinished

MARK = "restore-unfinished"


def require_whole(data_folder: Path) -> None:
    """Raise RestoreUnfinished where a restore broke off.

    A listener on it would take what was restored for files without a row, and begin a new ledger.
    """
    if (data_folder / MARK).exists():
        raise RestoreUnfinished(
            f"a restore into {data_folder} is under way or broke off: if none runs, empty the "
            "folder (and the database) and restore again"
        )


@contextmanager
def unfinished(data_folder: Path) -> Iterator[None]:
    """Mark the folder; the mark goes only where the work within came to its end."""
    write_file_durably(data_folder / MARK, b"")
    yield
    (data_folder / MARK).unlink()
    sync_folder(data_folder)
