"""States of studies, deliveries and models and the legal moves between them, as tables.

No code changes a state except through `db.transitions` and `db.registry`, which look here first.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class StudyState(StrEnum):
    """Where a study is on its way from reception to an outcome."""

    RECEIVING = "RECEIVING"
    """Instances are arriving; the study is not yet quiet."""
    READY = "READY"
    """Quiet for long enough, retried by an operator, or taken up again by a sweep: to be queued."""
    QUEUED = "QUEUED"
    """Handed to the broker (or about to be); no worker has claimed it."""
    SCREENING = "SCREENING"
    """A worker holds a lease on it."""
    SCREENED = "SCREENED"
    """Concluded with an outcome other than FAILED."""
    FAILED = "FAILED"
    """Given up, with a reason; an operator's retry or a late instance opens it again."""


CONCLUDED = (StudyState.SCREENED, StudyState.FAILED)
"""A study is at rest: nothing more happens to it by itself."""


class DeliveryState(StrEnum):
    """Where one result object is on its way to one destination."""

    PENDING = "PENDING"
    """To be sent at `next_attempt_at`."""
    SENT = "SENT"
    """The destination answered its C-STORE with success or a warning."""
    COMMITTED = "COMMITTED"
    """The destination took responsibility for it (storage commitment)."""
    FAILED = "FAILED"
    """Dead letter: not tried again until an operator replays it."""
    WITHDRAWN = "WITHDRAWN"
    """Never sent and not to be: a later analysis replaced it first, or an operator discarded it."""


class CircuitState(StrEnum):
    """Whether a destination is being tried at all."""

    CLOSED = "CLOSED"
    """It answers: everything that is due is sent."""
    OPEN = "OPEN"
    """It could not be reached several times in a row: nothing is tried until `retry_at`."""
    HALF_OPEN = "HALF_OPEN"
    """Time for one probe: one study's results are tried, the others wait for how that goes."""


class ModelState(StrEnum):
    """What an imported model is used for. The bundle of the settings has no state of its own: it is
    the champion while no imported model is."""

    CANDIDATE = "CANDIDATE"
    """Imported: used for nothing."""
    SHADOW = "SHADOW"
    """Scores live studies beside the champion; nothing of it is delivered. At most one."""
    CHAMPION = "CHAMPION"
    """Its results are delivered. At most one."""
    RETIRED = "RETIRED"
    """Replaced, rolled back or given up; a rollback or another import may bring it back."""


class SweepState(StrEnum):
    """Where a backlog run is."""

    RUNNING = "RUNNING"
    """It works whenever its time window and its limits let it."""
    PAUSED = "PAUSED"
    """An operator stopped it and may let it go on."""
    FINISHED = "FINISHED"
    """Everything was looked for, and what was to be fetched was, or is listed as missing."""
    CANCELLED = "CANCELLED"
    """Given up by an operator; what it had fetched is screened all the same."""


class SweepStudyState(StrEnum):
    """What a sweep did with one study that it found."""

    FOUND = "FOUND"
    """To be looked at closely."""
    EXCLUDED = "EXCLUDED"
    """Not for this sweep, with the reason."""
    FETCHING = "FETCHING"
    """Asked for; until the time given, what arrives of it belongs to the sweep."""
    TAKEN = "TAKEN"
    """In the ledger, to be screened like any other study."""
    MISSING = "MISSING"
    """Not all of it arrived, after all tries, with the reason; what did is screened."""


class ReviewOutcome(StrEnum):
    """What a reader says of our result."""

    AGREE = "AGREE"
    """The flag, or its absence, is right."""
    DISAGREE = "DISAGREE"
    """It is wrong."""
    ELSEWHERE = "ELSEWHERE"
    """There is a fracture, but not where the heatmap points."""
    BAD_HEATMAP = "BAD_HEATMAP"
    """The flag is right, the heatmap is of no use."""


class Role(StrEnum):
    """What somebody may do on the worklist."""

    READER = "READER"
    """See studies and review them."""
    ADMIN = "ADMIN"
    """Also people, the audit trail and exports."""


class FlagKind(StrEnum):
    """Results that are messages to systems without DICOM."""

    HL7 = "hl7"
    """An HL7 v2 message, as it goes out."""
    WEBHOOK = "webhook"
    """The JSON body of a web hook."""


LEGAL_STUDY_MOVES: Mapping[StudyState, frozenset[StudyState]] = MappingProxyType(
    {
        StudyState.RECEIVING: frozenset({StudyState.READY, StudyState.FAILED}),
        StudyState.READY: frozenset({StudyState.QUEUED, StudyState.RECEIVING, StudyState.FAILED}),
        StudyState.QUEUED: frozenset(
            {StudyState.SCREENING, StudyState.RECEIVING, StudyState.FAILED}
        ),
        StudyState.SCREENING: frozenset(
            {StudyState.SCREENED, StudyState.QUEUED, StudyState.RECEIVING, StudyState.FAILED}
        ),
        StudyState.SCREENED: frozenset({StudyState.RECEIVING, StudyState.READY, StudyState.FAILED}),
        StudyState.FAILED: frozenset({StudyState.RECEIVING, StudyState.READY}),
    }
)
"""From each state, the states a study may move to."""

LEGAL_SWEEP_MOVES: Mapping[SweepState, frozenset[SweepState]] = MappingProxyType(
    {
        SweepState.RUNNING: frozenset(
            {SweepState.PAUSED, SweepState.FINISHED, SweepState.CANCELLED}
        ),
        SweepState.PAUSED: frozenset({SweepState.RUNNING, SweepState.CANCELLED}),
        SweepState.FINISHED: frozenset(),
        SweepState.CANCELLED: frozenset(),
    }
)
"""From each state, the states a sweep may move to."""

LEGAL_DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset(
            {DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.WITHDRAWN}
        ),
        DeliveryState.SENT: frozenset({DeliveryState.COMMITTED, DeliveryState.FAILED}),
        DeliveryState.COMMITTED: frozenset({DeliveryState.FAILED}),
        DeliveryState.FAILED: frozenset({DeliveryState.PENDING, DeliveryState.WITHDRAWN}),
        DeliveryState.WITHDRAWN: frozenset({DeliveryState.PENDING}),
    }
)
"""From each state, the states a delivery may move to."""

LEGAL_MODEL_MOVES: Mapping[ModelState, frozenset[ModelState]] = MappingProxyType(
    {
        ModelState.CANDIDATE: frozenset(
            {ModelState.SHADOW, ModelState.CHAMPION, ModelState.RETIRED}
        ),
        ModelState.SHADOW: frozenset(
            {ModelState.CANDIDATE, ModelState.CHAMPION, ModelState.RETIRED}
        ),
        ModelState.CHAMPION: frozenset({ModelState.RETIRED}),
        ModelState.RETIRED: frozenset({ModelState.CANDIDATE, ModelState.CHAMPION}),
    }
)
"""From each state, the states a model may move to."""
