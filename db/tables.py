"""The tables: UIDs, digests, states and numbers; patient data in `StudyHeader` alone.

Rows never leave `db`; a change here needs a migration in `migrations/versions/`.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from db.columns import FreeText, UtcDateTime, terms
from db.outcomes import Outcome
from db.states import (
    DeliveryState,
    ModelState,
    ReviewOutcome,
    Role,
    StudyState,
    SweepState,
    SweepStudyState,
)

_UID = String(64)
_SHA256 = String(64)
_AE_TITLE = FreeText()
_PATH = String(512)


def _prefix_index(column: str) -> Index:
    """For searches by how a text begins, in any of PostgreSQL's collations."""
    return Index(None, column, postgresql_ops={column: "text_pattern_ops"})


class Base(DeclarativeBase):
    """Holds the metadata that the migrations are compared with."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Sweep(Base):
    """A backlog run over a PACS or a folder."""

    __tablename__ = "sweep"
    __table_args__ = (UniqueConstraint("schedule", "night"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    schedule: Mapped[str | None] = mapped_column(String(64))
    """Name of the schedule of the settings that began it; None: begun by hand."""
    night: Mapped[date | None]
    """Day on which the time window of a scheduled sweep opened, at the site."""
    source: Mapped[str] = mapped_column(String(64))
    """Name of the PACS in the settings; "": a folder."""
    folder: Mapped[str] = mapped_column(_PATH)
    """As the operator named it; "": a PACS."""
    selection: Mapped[dict[str, Any]] = mapped_column(JSON())  # Any: JSON
    """What is to be screened, as `worker.sweeps.selection` writes it."""
    state: Mapped[SweepState] = mapped_column(terms(SweepState), index=True)
    remark: Mapped[str] = mapped_column(FreeText(), default="")
    """Why it waits or what went wrong last; "": nothing."""
    cursor: Mapped[str] = mapped_column(String(1024), default="")
    """How far the search has come, as the search writes it."""
    searched: Mapped[bool] = mapped_column(default=False)
    """Whether all candidates are known."""
    actor: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    advanced_at: Mapped[datetime] = mapped_column(UtcDateTime())
    reported_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When its report was written by itself, last; None: not yet."""
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When retention removed the rows of its studies; None: they are here."""
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime())


class SweepStudy(Base):
    """One study that a sweep found, and what became of it."""

    __tablename__ = "sweep_study"
    __table_args__ = (
        UniqueConstraint("sweep_id", "study_instance_uid"),
        Index(None, "sweep_id", "state", "next_attempt_at"),
        Index(None, "study_instance_uid", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey(Sweep.id))
    study_instance_uid: Mapped[str] = mapped_column(_UID)
    state: Mapped[SweepStudyState] = mapped_column(terms(SweepStudyState))
    reason: Mapped[str] = mapped_column(FreeText(), default="")
    expected: Mapped[int] = mapped_column(default=0)
    """Instances that are wanted."""
    arrived: Mapped[int] = mapped_column(default=0)
    """Of those, how many are here."""
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime())
    """FETCHING: the end of the request's time."""
    taken_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), index=True)
    previous_outcome: Mapped[Outcome | None] = mapped_column(terms(Outcome))
    """Of the analysis that the ledger had when the study was taken."""
    previous_probability: Mapped[float | None]
    reported: Mapped[bool | None]
    """Whether the source has a report of it that is not ours; None: not asked."""


class Study(Base):
    """A study and where it is. Its row is the lock of everything that hangs on it."""

    __tablename__ = "study"
    __table_args__ = (Index(None, "state", "state_changed_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(_UID, unique=True)
    state: Mapped[StudyState] = mapped_column(terms(StudyState))
    revision: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    """Claims of this revision. Never lowered within it: (revision, attempts) names a lease."""
    interruptions: Mapped[int] = mapped_column(default=0)
    """Claims of this revision that a late instance cut short; they count towards no limit."""
    calling_ae_title: Mapped[str] = mapped_column(_AE_TITLE)
    """Of the first instance."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime())
    last_instance_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
    state_changed_at: Mapped[datetime] = mapped_column(UtcDateTime())
    """Or when it was last published, if QUEUED."""
    ready_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failure_reason: Mapped[str] = mapped_column(FreeText(), default="")
    """Of the last failed attempt of this revision."""
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey(Sweep.id), index=True)
    """The sweep that brought this revision; None: it came by itself, and goes first."""


class StudyHeader(Base):
    """What a study's header says of patient and study, for the worklist to show and find.

    Of the first instance when it is received; of the first radiograph once the study is concluded.
    The only table with patient data; nothing else in the ledger needs it.
    """

    __tablename__ = "study_header"
    __table_args__ = (
        _prefix_index("patient_name_folded"),
        _prefix_index("patient_id"),
        _prefix_index("accession_number"),
        Index(None, "body_parts"),
    )

    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), primary_key=True)
    patient_name: Mapped[str] = mapped_column(FreeText())
    """As people read it: the alphabetic group, family name first."""
    patient_name_folded: Mapped[str] = mapped_column(FreeText())
    """For search: case folded, without marks on letters."""
    patient_id: Mapped[str] = mapped_column(FreeText())
    patient_birth_date: Mapped[date | None]
    patient_sex: Mapped[str] = mapped_column(FreeText())
    accession_number: Mapped[str] = mapped_column(FreeText())
    study_date: Mapped[date | None]
    study_description: Mapped[str] = mapped_column(FreeText())
    body_parts: Mapped[str] = mapped_column(FreeText())
    """Body Part Examined of its radiographs, each once, by ", "."""
    elements: Mapped[bytes | None] = mapped_column(LargeBinary())
    """The text elements of patient and study as they were sent (`dicom_node.study_elements`): for
    a report where the files are gone. None: an older version recorded the header."""


class StudyOpening(Base):
    """When a revision of a study was first opened on the worklist."""

    __tablename__ = "study_opening"

    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)


class Account(Base):
    """Somebody who may use the worklist."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    """What they sign in with, in lower case."""
    role: Mapped[Role] = mapped_column(terms(Role))
    password_hash: Mapped[str] = mapped_column(String(255))
    """Argon2id; "": signs in by the reverse proxy only."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failed_sign_ins: Mapped[int] = mapped_column(default=0)
    """In a row."""
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime())


class WebSession(Base):
    """A browser that somebody signed in with."""

    __tablename__ = "web_session"

    token_sha256: Mapped[str] = mapped_column(_SHA256, primary_key=True)
    """Of the cookie's value, which is kept nowhere."""
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id), index=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)


class Instance(Base):
    """One received instance, whose bytes stand on disk as they were sent."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    series_instance_uid: Mapped[str] = mapped_column(_UID)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(_UID)
    calling_ae_title: Mapped[str] = mapped_column(_AE_TITLE)
    path: Mapped[str] = mapped_column(_PATH, unique=True)
    sha256: Mapped[str] = mapped_column(_SHA256)
    size: Mapped[int] = mapped_column(BigInteger())
    received_at: Mapped[datetime] = mapped_column(UtcDateTime())
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When retention gave its file up; None: the file is here. The same bytes bring it back."""
    discarded_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When an administrator took it out of its study; None: it is part of it."""
    patient_of: Mapped[str | None] = mapped_column(_UID)
    """SOP Instance UID of the instance whose patient it was accepted as; None: its own."""


class Delivery(Base):
    """One result object on its way to one destination: a PACS, an HL7 receiver or a webhook."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("result_object_id", "destination"),
        Index(None, "state", "next_attempt_at"),
        Index(None, "state", "confirm_at"),
        Index(None, "destination", "sent_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    result_object_id: Mapped[int] = mapped_column(ForeignKey("result_object.id"))
    destination: Mapped[str] = mapped_column(String(255))
    state: Mapped[DeliveryState] = mapped_column(terms(DeliveryState))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """None once it is not PENDING."""
    last_status: Mapped[int | None]
    """DIMSE status of the last C-STORE response; of other protocols 0 for taken, else the HTTP
    status or 1. None: there was no response."""
    last_error: Mapped[str] = mapped_column(FreeText(), default="")
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    """None under a lease that has not ended: published, not yet claimed."""
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), index=True)
    confirm_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When the destination is asked (again) whether it keeps the object; None: never."""
    confirm_attempts: Mapped[int] = mapped_column(default=0)
    transaction_uid: Mapped[str | None] = mapped_column(_UID)
    """Of the latest storage commitment request that names the object."""
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())


class CommitmentRequest(Base):
    """A storage commitment request: which study's results at which destination it asks for."""

    __tablename__ = "commitment_request"

    transaction_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    destination: Mapped[str] = mapped_column(String(255))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime())
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime())


class Circuit(Base):
    """What all workers know of a destination's health. No row: it never failed."""

    __tablename__ = "circuit"

    destination: Mapped[str] = mapped_column(String(255), primary_key=True)
    failures: Mapped[int]
    """Associations in a row that failed."""
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """None: closed."""
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    last_error: Mapped[str] = mapped_column(FreeText())
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime())


class ResultObject(Base):
    """What was made of a study, its bytes frozen on disk: a DICOM object, or a message (flag).

    A message has a UID as DICOM objects have, but no series and no SOP class ("").
    """

    __tablename__ = "result_object"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(_UID)
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    kind: Mapped[str] = mapped_column(String(32))
    path: Mapped[str] = mapped_column(_PATH)
    sha256: Mapped[str] = mapped_column(_SHA256)
    size: Mapped[int] = mapped_column(BigInteger())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    """When retention gave its file up; None: the file is here."""
    deliveries: Mapped[list[Delivery]] = relationship(order_by=Delivery.id)


class DoomedFile(Base):
    """A file that retention gave up and that is not known to be gone yet."""

    __tablename__ = "doomed_file"

    path: Mapped[str] = mapped_column(_PATH, primary_key=True)
    """Relative to the data folder."""
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    doomed_at: Mapped[datetime] = mapped_column(UtcDateTime())


analysis_result = Table(
    "analysis_result",
    Base.metadata,
    Column("analysis_id", ForeignKey("analysis.id"), primary_key=True),
    Column("result_object_id", ForeignKey(ResultObject.id), primary_key=True, index=True),
)


class Finding(Base):
    """What an analysis says of one frame of an instance."""

    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("analysis_id", "sop_instance_uid", "frame_number"),
        CheckConstraint("operating_point IN ('', 'sensitive', 'specific')", "operating_point"),
        CheckConstraint("probability BETWEEN 0 AND 1", "probability"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id"))
    sop_instance_uid: Mapped[str] = mapped_column(_UID)
    frame_number: Mapped[int]
    analysed: Mapped[bool]
    reason: Mapped[str] = mapped_column(FreeText())
    probability: Mapped[float | None]
    operating_point: Mapped[str] = mapped_column(String(16))
    peak_row: Mapped[int | None]
    peak_column: Mapped[int | None]
    body_part_examined: Mapped[str | None] = mapped_column(FreeText())
    """As the instance states it; None: not known, for example concluded before revision 0003."""
    device: Mapped[str | None] = mapped_column(FreeText())
    """Manufacturer, model and station of the equipment, never of a person."""
    mean_intensity: Mapped[float | None]
    rows: Mapped[int | None]
    columns: Mapped[int | None]


class Analysis(Base):
    """One run over one revision of a study. Current until a later one supersedes it."""

    __tablename__ = "analysis"
    __table_args__ = (
        UniqueConstraint("study_id", "revision"),
        Index(
            "uq_analysis_current",
            "study_id",
            unique=True,
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
        # The worklist's pages: of one outcome, or of all, the latest first.
        Index(
            "ix_analysis_current_outcome",
            "outcome",
            "finished_at",
            "id",
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "ix_analysis_current_finished",
            "finished_at",
            "id",
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "ix_analysis_current_swept",
            "finished_at",
            "id",
            sqlite_where=text("superseded_at IS NULL AND sweep_id IS NOT NULL"),
            postgresql_where=text("superseded_at IS NULL AND sweep_id IS NOT NULL"),
        ),
        Index(
            "ix_analysis_current_model",
            "model_name",
            "model_version",
            "finished_at",
            "id",
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "ix_analysis_identity_conflict",
            "id",
            sqlite_where=text("superseded_at IS NULL AND identity_conflict"),
            postgresql_where=text("superseded_at IS NULL AND identity_conflict"),
        ),
        # Of one sweep; and for the worklist those of none, the latest first.
        Index(None, "sweep_id", "finished_at", "id"),
        CheckConstraint("probability BETWEEN 0 AND 1", "probability"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id))
    revision: Mapped[int]
    model_name: Mapped[str] = mapped_column(String(255))
    model_version: Mapped[str] = mapped_column(String(255))
    model_digest: Mapped[str] = mapped_column(String(255))
    outcome: Mapped[Outcome] = mapped_column(terms(Outcome))
    reason: Mapped[str] = mapped_column(FreeText())
    probability: Mapped[float | None]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime())
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime())
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey(Sweep.id))
    """The sweep that had it made, in retrospect; None: triage."""
    unflagged_reason: Mapped[str | None] = mapped_column(FreeText())
    """Why no message was made for receivers that would have got one; None: none was withheld."""
    identity_conflict: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the study is held because its instances name different patients."""
    findings: Mapped[list[Finding]] = relationship(order_by=Finding.id)
    results: Mapped[list[ResultObject]] = relationship(
        secondary=analysis_result, order_by=ResultObject.id
    )


class ModelVersion(Base):
    """An imported bundle and what it is used for."""

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        *(
            Index(
                f"uq_model_version_{state.lower()}",
                "state",
                unique=True,
                sqlite_where=text(f"state = '{state}'"),
                postgresql_where=text(f"state = '{state}'"),
            )
            for state in (ModelState.CHAMPION, ModelState.SHADOW)
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(_SHA256, unique=True)
    path: Mapped[str] = mapped_column(_PATH)
    """Of the bundle's folder, relative to the data folder."""
    state: Mapped[ModelState] = mapped_column(terms(ModelState))
    imported_at: Mapped[datetime] = mapped_column(UtcDateTime())
    state_changed_at: Mapped[datetime] = mapped_column(UtcDateTime())
    predecessor_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id"))
    """The champion that it replaced when it was promoted; None: the bundle of the settings."""


class AuditEvent(Base):
    """Who did what, and when. Rows are only ever added: the database refuses anything else."""

    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
    actor: Mapped[str] = mapped_column(String(255))
    """Operating-system user and machine; of the worklist: the account."""
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    details: Mapped[dict[str, Any]] = mapped_column(JSON())  # Any: JSON
    """Figures and reasons, without patient data."""


class ShadowScore(Base):
    """What a shadow says of one frame, beside what the champion said of it. Never delivered."""

    __tablename__ = "shadow_score"
    __table_args__ = (
        UniqueConstraint("model_id", "sop_instance_uid", "frame_number"),
        CheckConstraint("probability BETWEEN 0 AND 1", "probability"),
        CheckConstraint("champion_probability BETWEEN 0 AND 1", "champion_probability"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey(ModelVersion.id))
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID)
    frame_number: Mapped[int]
    body_part_examined: Mapped[str] = mapped_column(FreeText())
    probability: Mapped[float]
    operating_point: Mapped[str] = mapped_column(String(16))
    champion_digest: Mapped[str] = mapped_column(_SHA256)
    champion_probability: Mapped[float]
    champion_operating_point: Mapped[str] = mapped_column(String(16))
    scored_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)


class Review(Base):
    """What a reader says of our result on an instance. Current until a later one supersedes it."""

    __tablename__ = "review"
    __table_args__ = (
        Index(
            "uq_review_current",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, index=True)
    outcome: Mapped[ReviewOutcome] = mapped_column(terms(ReviewOutcome))
    fractured: Mapped[bool | None]
    """The truth as the reader sees it; None: left open."""
    box_left: Mapped[int | None]
    """The fracture's place in pixels of the radiograph, 0-based, as all four."""
    box_top: Mapped[int | None]
    box_width: Mapped[int | None]
    box_height: Mapped[int | None]
    reader: Mapped[str] = mapped_column(FreeText())
    """A code for the reader, as the hospital chooses it."""
    reviewed_at: Mapped[datetime] = mapped_column(UtcDateTime())
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
