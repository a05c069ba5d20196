"""Studies that FAILED: as `status --failed` lists them, and as their report needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.outcomes import Outcome
from db.records import ClaimedInstance
from db.states import StudyState
from db.tables import Analysis, Instance, Study, StudyHeader


@dataclass(frozen=True, slots=True)
class FailedStudy:
    """A study that waits for an operator."""

    study_instance_uid: str
    accession_number: str
    """"": none was stated, or nothing of the study could be read."""
    reason: str
    failed_at: datetime
    attempts: int
    """Number of attempts at the revision that failed."""


@dataclass(frozen=True, slots=True)
class FailedAnalysis:
    """A failed analysis, with all that its report needs."""

    study_id: int
    revision: int
    study_instance_uid: str
    reason: str
    patient_and_study: bytes
    """Elements encoded by `dicom_node.study_elements`; empty where they are not known."""
    patient_id: str
    """The value that the worklist shows."""
    instances: tuple[ClaimedInstance, ...]
    """Sorted by series, then SOP Instance UID."""
    swept: bool


def failed_studies(session: Session, limit: int) -> list[FailedStudy]:
    """Return up to `limit` FAILED studies, the latest failure first."""
    rows = session.execute(
        select(Study, StudyHeader.accession_number)
        .outerjoin(StudyHeader, StudyHeader.study_id == Study.id)
        .where(Study.state == StudyState.FAILED)
        .order_by(Study.state_changed_at.desc(), Study.id.desc())
        .limit(limit)
    )
    return [
        FailedStudy(
            study_instance_uid=study.study_instance_uid,
            accession_number=accession_number or "",
            reason=study.failure_reason,
            failed_at=study.state_changed_at,
            attempts=study.attempts - study.interruptions,
        )
        for study, accession_number in rows
    ]


def failed_analysis(session: Session, study_id: int, revision: int) -> FailedAnalysis | None:
    """Return the analysis in force if it failed and has no report yet."""
    analysis = session.scalar(
        select(Analysis).where(
            Analysis.study_id == study_id,
            Analysis.revision == revision,
            Analysis.superseded_at.is_(None),
            Analysis.outcome == Outcome.FAILED,
            ~Analysis.results.any(),
        )
    )
    if analysis is None:
        return None
    study = session.get_one(Study, study_id)
    header = session.get(StudyHeader, study_id)
    return FailedAnalysis(
        study_id=study_id,
        revision=revision,
        study_instance_uid=study.study_instance_uid,
        reason=analysis.reason,
        patient_and_study=(header.elements if header else None) or b"",
        patient_id=header.patient_id if header else "",
        instances=_instances(session, study_id),
        swept=analysis.sweep_id is not None,
    )


def _instances(session: Session, study_id: int) -> tuple[ClaimedInstance, ...]:
    rows: Sequence[Instance] = session.scalars(
        select(Instance).where(Instance.study_id == study_id)
    ).all()
    return tuple(
        ClaimedInstance(
            sop_instance_uid=row.sop_instance_uid,
            sop_class_uid=row.sop_class_uid,
            sha256=row.sha256,
            path=row.path,
            series_instance_uid=row.series_instance_uid,
        )
        for row in sorted(rows, key=lambda row: (row.series_instance_uid, row.sop_instance_uid))
    )
