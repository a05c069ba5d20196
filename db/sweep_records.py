"""What goes into and comes out of `db.sweeps`: frozen dataclasses, never table rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from db.outcomes import Outcome
from db.states import StudyState, SweepState, SweepStudyState


@dataclass(frozen=True, slots=True)
class NewSweep:
    """A backlog run to begin: over the PACS called `source`, or over `folder`; the other is ""."""

    source: str
    folder: str
    selection: Mapping[str, Any]  # Any: JSON
    """What is to be screened, as `worker.sweeps.selection` writes it."""
    actor: str
    schedule: str | None = None
    night: date | None = None
    """Of a schedule: the day on which its window opened, at the site."""


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A backlog run and how far its search has come."""

    id: int
    schedule: str | None
    night: date | None
    source: str
    folder: str
    selection: Mapping[str, Any]  # Any: JSON
    state: SweepState
    remark: str
    cursor: str
    searched: bool
    actor: str
    created_at: datetime
    finished_at: datetime | None
    purged_at: datetime | None
    """When retention removed the rows of its studies; None: they are here."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A study that the search found; `excluded`: why it is not for this sweep, "" if it is."""

    study_instance_uid: str
    excluded: str = ""


@dataclass(frozen=True, slots=True)
class SweepItem:
    """A study that a sweep has to see to."""

    id: int
    study_instance_uid: str
    attempts: int


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """What the ledger has of a study."""

    state: StudyState
    sweep_id: int | None
    """The sweep that brought its present revision."""
    sop_instance_uids: frozenset[str]
    """Of the instances whose files are here: what was purged is fetched again if it is wanted."""
    model_version: str
    """Of the current analysis, as `model_digest`; "" without one."""
    model_digest: str
    outcome: Outcome | None
    looked_at: frozenset[str]
    """SOP Instance UIDs that the current analysis says something of."""
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SweepTally:
    """A sweep in numbers."""

    studies: Mapping[SweepStudyState, int]
    """Every state is a key."""
    exclusions: Mapping[str, int]
    """Reason → studies, most first; likewise `missing`."""
    missing: Mapping[str, int]
    outcomes: Mapping[Outcome, int]
    """Of the studies that were taken and are concluded; every outcome is a key."""
    reasons: Mapping[str, int]
    """Of those NOT_ANALYSED or FAILED: reason → studies."""
    waiting: int
    """Taken, not concluded yet."""
    instances: int
    """Wanted, and here."""
    changed: Mapping[tuple[Outcome, Outcome], int]
    """(outcome before, outcome now) → studies; only those that had one."""
    last_concluded_at: datetime | None


@dataclass(frozen=True, slots=True)
class SweptStudy:
    """One line of a sweep's table."""

    study_instance_uid: str
    state: SweepStudyState
    reason: str
    outcome: Outcome | None
    """None: not concluded (yet)."""
    outcome_reason: str
    probability: float | None
    model_version: str
    previous_outcome: Outcome | None
    previous_probability: float | None
    expected: int
    arrived: int
    unflagged_reason: str = ""
    """Why no message was made for receivers that would have got one; "": none was withheld."""
