"""What the worklist asks of the ledger, and what it gets: frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from db.outcomes import Outcome
from db.records import NewFinding, ResultSummary
from db.reviews import NewReview
from db.states import StudyState

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """Name and version of a model that made some analysis."""

    name: str
    version: str

    @property
    def text(self) -> str:
        """As people read it and forms send it back."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """Which studies a page shows: those that meet every condition given."""

    outcomes: frozenset[Outcome] = frozenset()
    """With `waiting`: of these, or of any if neither is given."""
    waiting: bool = False
    """Whether those without any outcome are wanted."""
    swept: bool | None = None
    """Whether a sweep brought them; None: either."""
    body_part: str = ""
    since: datetime | None = None
    """Concluded, or received if they wait, then or later."""
    until: datetime | None = None
    """Before then."""
    model: ModelLabel | None = None
    search: str = ""
    """Beginning of patient name (in any case, without marks), patient ID, accession number or
    Study Instance UID."""

    @property
    def wanted_outcomes(self) -> frozenset[Outcome]:
        """Those to look for."""
        return self.outcomes if self.outcomes or self.waiting else frozenset(Outcome)

    @property
    def wants_waiting(self) -> bool:
        """Whether studies without outcome belong to it; they have no model yet."""
        return self.model is None and (self.waiting or not self.outcomes)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a study stands in the worklist; the greatest is the first."""

    moment: datetime
    """Concluded, or received if it waits."""
    concluded: bool
    row_id: int
    """Of the analysis, or of the study if it waits."""


@dataclass(frozen=True, slots=True)
class PatientHeader:
    """What the study's first radiograph says of patient and study; "" and None: nothing."""

    patient_name: str
    patient_id: str
    patient_birth_date: date | None
    patient_sex: str
    accession_number: str
    study_date: date | None
    study_description: str
    body_parts: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the current analysis says of its study."""

    revision: int
    outcome: Outcome
    reason: str
    probability: float | None
    model: ModelLabel
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class WorklistLine:
    """One study of a page."""

    study_instance_uid: str
    state: StudyState
    revision: int
    received_at: datetime
    swept: bool
    header: PatientHeader | None
    verdict: Verdict | None
    """None: it waits for its first."""
    opened: bool
    """Whether anybody opened what the current analysis says."""
    reviewed: bool
    """Whether a review of one of its images is in force."""

    @property
    def is_outdated(self) -> bool:
        """Whether a later revision is on its way."""
        return self.verdict is not None and self.verdict.revision < self.revision


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """Up to PAGE_SIZE studies, newest first."""

    lines: tuple[WorklistLine, ...]
    newer: Position | None
    """Show what stands before this one; None: this is the first page."""
    older: Position | None
    """Show what stands after this one; None: there is nothing more."""


@dataclass(frozen=True, slots=True)
class WorklistCounts:
    """How many studies of each kind there are, whatever the filter."""

    outcomes: Mapping[Outcome, int]
    waiting: int

    @property
    def all(self) -> int:
        """Every study."""
        return sum(self.outcomes.values()) + self.waiting


@dataclass(frozen=True, slots=True)
class WorklistChoices:
    """What filters can choose from."""

    body_parts: tuple[str, ...]
    models: tuple[ModelLabel, ...]


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """A received instance of a study."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    path: str
    """Relative to the data folder."""
    size: int
    received_at: datetime
    purged_at: datetime | None = None
    """When retention removed the file; None: it is here."""
    discarded_at: datetime | None = None
    """When an administrator took it out of the study; None: it is part of it."""


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """One analysis of a study, current or superseded."""

    verdict: Verdict
    started_at: datetime
    superseded_at: datetime | None
    swept: bool
    findings: tuple[NewFinding, ...]
    results: tuple[ResultSummary, ...]
    unflagged_reason: str | None
    """Why no message was made for receivers that would have got one; None: none was withheld."""
    identity_conflict: bool = False
    """Whether the study is held because its instances name different patients."""


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """One review with when it was replaced."""

    review: NewReview
    superseded_at: datetime | None
    """None: in force."""


@dataclass(frozen=True, slots=True)
class StudyDetail:
    """Everything about one study."""

    study_id: int
    study_instance_uid: str
    state: StudyState
    revision: int
    calling_ae_title: str
    received_at: datetime
    last_instance_at: datetime
    failure_reason: str
    swept: bool
    header: PatientHeader | None
    instances: tuple[InstanceRecord, ...]
    """As they came."""
    analyses: tuple[AnalysisRecord, ...]
    """Latest revision first."""
    reviews: tuple[ReviewRecord, ...]
    """As they were entered."""

    @property
    def current(self) -> AnalysisRecord | None:
        """The analysis in force."""
        return next((one for one in self.analyses if one.superseded_at is None), None)


@dataclass(frozen=True, slots=True)
class NewConclusion:
    """That a study was concluded, without a word of whose it is."""

    analysis_id: int
    outcome: Outcome
    swept: bool
