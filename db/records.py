"""What goes into the ledger and what comes out of it: frozen dataclasses, never table rows.

All times are timezone-aware. All paths are POSIX paths relative to the data folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from db.outcomes import Outcome
from db.states import CircuitState, DeliveryState, StudyState


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance whose bytes are safely on disk, to be registered."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    path: str
    sha256: str
    """Of the file's bytes, 64 lower-case hexadecimal digits."""
    size: int
    """Bytes."""
    header: "StudyHeader | None" = field(default=None, compare=False, repr=False)
    """Recorded for its study, if the study has none yet; None: not read."""


class RegistrationKind(StrEnum):
    """What became of an instance that was to be registered."""

    ACCEPTED = "ACCEPTED"
    """New: stored, and its study opened or opened again."""
    DUPLICATE = "DUPLICATE"
    """Its UID is known with the same digest: nothing changed (see `Ledger.restore_file`)."""
    CONFLICT = "CONFLICT"
    """Its UID is known with another digest: nothing changed."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer to `Ledger.register_instance`."""

    kind: RegistrationKind
    study_id: int
    """Of the study that holds the instance under this UID."""
    known_path: str = ""
    """Of a DUPLICATE: where the ledger has the file of this UID, unless it was purged."""


@dataclass(frozen=True, slots=True)
class QueuedStudy:
    """What a broker message says: ids only."""

    study_id: int
    revision: int
    backlog: bool = False
    """Whether a sweep brought it: it goes after all that came by itself."""


@dataclass(frozen=True, slots=True)
class ReleasedStudy:
    """A study whose worker lost its lease."""

    study_id: int
    revision: int
    study_instance_uid: str
    state: StudyState
    """QUEUED: publish it again. FAILED: given up."""
    backlog: bool


@dataclass(frozen=True, slots=True)
class PurgedInstance:
    """What is left of an instance whose file retention removed."""

    purged_at: datetime
    model_digest: str
    """Of the analysis in force when the study was claimed; "": there was none."""
    findings: "tuple[NewFinding, ...]"
    """What that analysis says of it."""


@dataclass(frozen=True, slots=True)
class ClaimedInstance:
    """One instance of a claimed study."""

    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    path: str
    series_instance_uid: str
    purged: PurgedInstance | None = None
    """None: its file is here."""
    patient_path: str | None = None
    """File of the instance whose patient it was accepted as; None: it names its own."""


@dataclass(frozen=True, slots=True)
class ClaimedStudy:
    """A worker's right to screen one revision of a study, until the lease ends."""

    study_id: int
    revision: int
    study_instance_uid: str
    attempt: int
    """1 for the first claim of this revision; together with the revision it names the lease."""
    ready_at: datetime
    instances: tuple[ClaimedInstance, ...]
    """Sorted by series, then SOP instance UID."""
    sweep_id: int | None = None
    """The sweep that brought it; None: triage."""
    delivered_outcome: Outcome | None = None
    """Of the analysis that this one will supersede, if it has result objects."""
    reported_at_source: bool = False
    """Whether the source of its sweep has a report of it that is not ours."""
    told: Mapping[str, Outcome] = field(default_factory=dict)
    """Destination → outcome that the last message about it told there, or may have told."""


@dataclass(frozen=True, slots=True)
class NewFinding:
    """What was found, or why nothing was looked for, in one frame of an instance."""

    sop_instance_uid: str
    frame_number: int
    """1-based; 0 stands for the whole instance when none of its frames was read."""
    analysed: bool
    reason: str = ""
    """Why it was not analysed; of one that was, what a reader should know of it, mostly nothing."""
    probability: float | None = None
    """Calibrated, in [0, 1]."""
    operating_point: str = ""
    """The highest one reached: "specific", "sensitive" or "" for none."""
    peak_row: int | None = None
    """Row of the saliency map's peak in the radiograph, 0-based."""
    peak_column: int | None = None
    body_part_examined: str | None = None
    """As the instance states it, upper-case, "" where it states none; None: not known."""
    device: str | None = None
    """Manufacturer, model and station of the equipment; None: not a radiograph, or not known."""
    mean_intensity: float | None = None
    """Of the radiograph's pixels in [0, 1], as the network's preprocessing receives them."""
    rows: int | None = None
    columns: int | None = None


@dataclass(frozen=True, slots=True)
class NewResultObject:
    """A result object whose bytes are frozen on disk."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    kind: str
    """For example "overlay" or "report"; at most 32 characters."""
    path: str
    sha256: str
    size: int
    destinations: tuple[str, ...] = ()
    """Names of those that it is to be delivered to."""


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What a study's first readable instance says of patient and study; "" where it says nothing.

    The only record with patient data.
    """

    patient_name: str
    """As people read it: "family, given" of the alphabetic group, or of the first there is."""
    patient_name_folded: str
    """Of all groups, as `db.study_headers.fold` makes it."""
    patient_id: str
    patient_birth_date: date | None
    patient_sex: str
    accession_number: str
    study_date: date | None
    study_description: str
    body_parts: str
    """Body Part Examined of its radiographs, each once, by ", "."""
    elements: bytes = field(default=b"", compare=False, repr=False)
    """The text elements of patient and study as they were sent (`dicom_node.study_elements`)."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Everything that one analysis leaves behind."""

    model_name: str
    model_version: str
    model_digest: str
    outcome: Outcome
    reason: str
    probability: float | None
    """The study's, in [0, 1]; None where nothing was analysed."""
    findings: Sequence[NewFinding]
    results: Sequence[NewResultObject]
    header: StudyHeader | None = None
    """None: no instance could be read; what an earlier analysis recorded stays."""
    unflagged_reason: str | None = None
    """Why no message was made for receivers that would have got one; None: none was withheld."""
    identity_conflict: bool = False
    """Whether the study is held because its instances name different patients."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A study's due result objects for one destination: one task, one association."""

    study_id: int
    destination: str


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A worker's right to send one result object to one destination."""

    delivery_id: int
    study_instance_uid: str
    sop_instance_uid: str
    path: str
    attempts: int
    """Counts this one: 1 at the first try."""


@dataclass(frozen=True, slots=True)
class ClaimedConfirmation:
    """A worker's right to ask one destination whether it keeps one result object."""

    delivery_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    attempts: int
    """Counts this one: 1 when it is asked for the first time."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a command means: those that meet every condition given."""

    destination: str | None = None
    states: tuple[DeliveryState, ...] = ()
    """Empty: any."""
    study_instance_uid: str | None = None
    delivery_ids: tuple[int, ...] = ()
    """Empty: any."""
    with_warning: bool = False
    """Only those that the destination has with a remark."""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """All that is known of one delivery."""

    delivery_id: int
    destination: str
    state: DeliveryState
    study_instance_uid: str
    sop_instance_uid: str
    kind: str
    attempts: int
    last_status: int | None
    last_error: str
    """Also the text of a warning, and why a delivery was withdrawn."""
    next_attempt_at: datetime | None
    sent_at: datetime | None
    confirm_at: datetime | None
    confirm_attempts: int
    confirmed_at: datetime | None
    transaction_uid: str | None
    path: str
    sha256: str
    purged_at: datetime | None = None
    """When retention removed the file; None: it is here."""


def purged_on(moment: datetime) -> str:
    """As people are told of a file that is gone."""
    return f"purged on {moment:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class CircuitSummary:
    """Whether a destination is being tried; one that never failed has no summary."""

    destination: str
    state: CircuitState
    failures: int
    """Associations in a row that failed."""
    retry_at: datetime | None
    """When one probe is let through; None while CLOSED."""
    last_error: str


@dataclass(frozen=True, slots=True)
class WaitingStudy:
    """A study that is ready for screening but has no outcome yet."""

    study_instance_uid: str
    state: StudyState
    since: datetime


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The whole ledger in numbers; every member of each enumeration is a key."""

    studies: Mapping[StudyState, int]
    analyses: Mapping[Outcome, int]
    """Current analyses only, not the superseded ones."""
    deliveries: Mapping[DeliveryState, int]
    sent_with_warning: int
    """Deliveries SENT or COMMITTED whose destination answered with a warning (0xB000 …)."""
    circuits: Sequence[CircuitSummary]
    """Of the destinations that failed at some time, by name."""
    oldest_waiting: WaitingStudy | None
    """The READY, QUEUED or SCREENING study that became ready first, those of sweeps left out: they
    wait for hours, and may."""
    last_activity: datetime | None
    """The last time an instance arrived, a study moved or a result object was sent."""


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """How far one result object got towards one destination."""

    destination: str
    state: DeliveryState
    attempts: int
    last_status: int | None
    """The DIMSE status of the last C-STORE response (PS3.7 Annex C); None: no response."""
    last_error: str
    next_attempt_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """One result object of an analysis, with its deliveries."""

    sop_instance_uid: str
    kind: str
    path: str
    """Relative to the data folder."""
    deliveries: tuple[DeliverySummary, ...]
    purged_at: datetime | None = None
    """When retention removed the file; None: it is here."""


@dataclass(frozen=True, slots=True)
class AnalysisSummary:
    """A study's current analysis."""

    revision: int
    """Lower than the study's own while a late instance waits to be screened."""
    model_name: str
    model_version: str
    model_digest: str
    outcome: Outcome
    reason: str
    probability: float | None
    started_at: datetime
    finished_at: datetime
    findings: tuple[NewFinding, ...]
    results: tuple[ResultSummary, ...]
    unflagged_reason: str | None = None
    """Why no message was made for receivers that would have got one; None: none was withheld."""


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of the operator's table, with what stands behind it."""

    study_instance_uid: str
    state: StudyState
    revision: int
    attempts: int
    calling_ae_title: str
    instance_count: int
    received_at: datetime
    last_instance_at: datetime
    failure_reason: str
    analysis: AnalysisSummary | None
    """None before the first conclusion."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it by itself: FAILED, or nothing left to deliver."""
        if self.state is StudyState.FAILED:
            return True
        if self.state is not StudyState.SCREENED or self.analysis is None:
            return False
        deliveries = (one for result in self.analysis.results for one in result.deliveries)
        return all(one.state is not DeliveryState.PENDING for one in deliveries)

    @property
    def outcome(self) -> Outcome | None:
        """The current analysis's outcome; None before the first conclusion."""
        return self.analysis.outcome if self.analysis else None

    @property
    def probability(self) -> float | None:
        """The current analysis's probability, in [0, 1]."""
        return self.analysis.probability if self.analysis else None

    @property
    def reason(self) -> str:
        """Why the outcome is what it is; empty before the first conclusion."""
        return self.analysis.reason if self.analysis else ""

    @property
    def results(self) -> tuple[ResultSummary, ...]:
        """The current analysis's result objects, each with its deliveries."""
        return self.analysis.results if self.analysis else ()
