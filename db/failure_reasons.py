"""Why a study FAILED, in the words that readers, pages, reports and commands show."""

from enum import StrEnum


class FailureReason(StrEnum):
    """The reasons that are known beforehand; the texts are stored."""

    FILE_MISSING = "The stored file is missing."
    """Send the image again, or restore the file, then retry the study."""
    FILE_UNREADABLE = "The stored file cannot be read from the disk."
    DISK_FULL = "The disk is full."
    OUT_OF_MEMORY = "The analysis ran out of memory."
    MODEL_NOT_LOADED = "The model cannot be loaded."
    """The cause follows, as the bundle's check states it."""
    DATABASE_AWAY = "The database cannot be reached."
    WORKER_ENDED = "The screening process ended or took too long."
    """The lease ended `study.maximum_attempts` times."""
    INTERNAL = "Internal error. The log of the worker says where."
    """The log event `study_failed` names the error and the lines of code."""
