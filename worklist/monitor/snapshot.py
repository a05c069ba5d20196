"""What one look found, and what counts as trouble: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from db.activity import Standing
from db.radiograph_counts import NotAnalysedShare


class LedgerCondition(StrEnum):
    """Whether the ledger can be used."""

    USABLE = "usable"
    OUT_OF_DATE = "out of date"
    """It answers, but its tables are not those of this version."""
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Folder:
    """How much lies in a folder."""

    files: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look."""

    taken_at: datetime
    ledger: LedgerCondition
    standing: Standing | None
    """None: the ledger could not be used."""
    queues: Mapping[str, int] | None
    """Messages waiting per kind of queue; None: the broker does not answer."""
    disk_free: int | None
    """Bytes on the data folder's file system; None: the folder cannot be asked."""
    listener_open: bool
    quarantine: Folder
    missing_bundles: tuple[str, ...]
    """Models in use whose files are gone, as people call them."""
    not_analysed: tuple[NotAnalysedShare, ...] = ()
    """Of devices and senders with enough radiographs within the last day."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is trouble."""

    look_every: timedelta
    ready_wait: timedelta
    waiting: timedelta
    dispatch: timedelta
    circuit: timedelta
    sweep: timedelta
    disk_warning: int
    """Bytes, as `disk_watermark`."""
    disk_watermark: int
    raise_after: timedelta
    resolve_after: timedelta
    not_analysed_share: float = 0.8
    """Of the radiographs of a device or a sender within a day."""
    not_analysed_fewest: int = 20
    """Radiographs of a day below which nothing is said."""
