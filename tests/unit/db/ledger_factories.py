"""Numbered instances, findings and conclusions, and a bench that moves a study by whole steps."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import (
    ClaimedStudy,
    Conclusion,
    NewFinding,
    NewInstance,
    NewResultObject,
    QueuedStudy,
    RegistrationKind,
    StudyHeader,
)
from db.states import StudyState

QUIET = timedelta(seconds=60)
LEASE = timedelta(seconds=600)


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> datetime:
        self.now += by
        return self.now


def study_uid(study: int) -> str:
    return f"1.2.826.0.1.{study}"


def instance_uid(study: int, number: int) -> str:
    return f"{study_uid(study)}.1.{number}"


def make_instance(study: int = 1, number: int = 1, content: str = "") -> NewInstance:
    """Instance `number` of study `study`; other `content` means another digest and path."""
    uid = instance_uid(study, number)
    sha256 = hashlib.sha256((uid + content).encode()).hexdigest()
    return NewInstance(
        study_instance_uid=study_uid(study),
        series_instance_uid=f"{study_uid(study)}.1",
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae_title="MODALITY",
        path=f"spool/incoming/{sha256}.dcm",
        sha256=sha256,
        size=1234,
    )


def make_result(number: int = 1, study: int = 1, kind: str = "overlay") -> NewResultObject:
    uid = f"2.25.{study}.{number}"
    return NewResultObject(
        sop_instance_uid=uid,
        series_instance_uid=f"2.25.{study}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        kind=kind,
        path=f"results/{uid}.dcm",
        sha256=hashlib.sha256(uid.encode()).hexdigest(),
        size=4321,
    )


def make_conclusion(
    outcome: Outcome = Outcome.POSITIVE,
    results: tuple[NewResultObject, ...] = (),
    destinations: tuple[str, ...] = ("PACS",),
    findings: tuple[NewFinding, ...] = (),
    reason: str = "",
    header: StudyHeader | None = None,
) -> Conclusion:
    """Each result goes to all `destinations`."""
    return Conclusion(
        model_name="densenet",
        model_version="1.0",
        model_digest="ab" * 32,
        outcome=outcome,
        reason=reason,
        probability=0.9,
        findings=findings,
        results=tuple(replace(one, destinations=destinations) for one in results),
        header=header,
    )


@dataclass
class Bench:
    """A ledger under a manual clock, with the steps that most tests begin with."""

    engine: Engine
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.engine, self.clock)

    def register(self, study: int = 1, number: int = 1, content: str = "") -> int:
        registration = self.ledger.register_instance(make_instance(study, number, content))
        assert registration.kind == RegistrationKind.ACCEPTED
        return registration.study_id

    def make_ready(self, study: int = 1, number: int = 1) -> int:
        study_id = self.register(study, number)
        self.clock.forward(QUIET)
        assert self.ledger.mark_quiet_studies_ready(QUIET) >= 1
        return study_id

    def queue(self, study: int = 1, number: int = 1) -> QueuedStudy:
        study_id = self.make_ready(study, number)
        (queued,) = self.ledger.queue_ready_studies(limit=10)
        assert queued.study_id == study_id
        return queued

    def claim(self, study: int = 1, number: int = 1, owner: str = "worker-1") -> ClaimedStudy:
        return self.claim_queued(self.queue(study, number), owner)

    def claim_queued(self, queued: QueuedStudy, owner: str = "worker-1") -> ClaimedStudy:
        claim = self.ledger.claim_study(queued.study_id, queued.revision, owner, LEASE)
        assert claim is not None
        return claim

    def conclude(self, conclusion: Conclusion | None = None, number: int = 1) -> ClaimedStudy:
        """Receive instance `number` of study 1 and take it through to the conclusion."""
        claim = self.claim(number=number)
        assert self.ledger.conclude(claim, conclusion or make_conclusion(), self.clock())
        return claim

    def state(self, study: int = 1) -> StudyState:
        summary = self.ledger.study_summary(study_uid(study))
        assert summary is not None
        return summary.state
