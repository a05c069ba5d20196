"""From an exception to the words that people read for it; without patient data."""

import errno

from db.errors import LedgerError
from db.failure_reasons import FailureReason
from dicom_node.errors import ReadingFailed
from models.errors import BundleError

_BY_KIND: tuple[tuple[type[Exception], FailureReason], ...] = (
    (FileNotFoundError, FailureReason.FILE_MISSING),
    (OSError, FailureReason.FILE_UNREADABLE),
    (MemoryError, FailureReason.OUT_OF_MEMORY),
    (LedgerError, FailureReason.DATABASE_AWAY),
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def failure_reason(error: Exception) -> str:
    """Return why an attempt failed. The text of an unknown error may hold patient data: not it."""
    if isinstance(error, ReadingFailed):
        return str(error)
    if isinstance(error, BundleError):
        return f"{FailureReason.MODEL_NOT_LOADED.removesuffix('.')}: {error}"
    if isinstance(error, OSError) and error.errno in _FULL:
        return FailureReason.DISK_FULL.value
    for kind, reason in _BY_KIND:
        if isinstance(error, kind):
            return reason.value
    return FailureReason.INTERNAL.value
