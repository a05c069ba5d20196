"""All that the ledger holds of one study, as its page shows it."""

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db.overview import finding_record, result_summary
from db.reviews import review_record
from db.tables import Analysis, Instance, ResultObject, Review, Study, StudyHeader
from db.worklist_pages import patient_header, verdict
from db.worklist_records import (
    AnalysisRecord,
    InstanceRecord,
    ReviewRecord,
    StudyDetail,
)


def study_detail(session: Session, study_instance_uid: str) -> StudyDetail | None:
    """None: the study is not known."""
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        return None
    header = session.get(StudyHeader, study.id)
    return StudyDetail(
        study_id=study.id,
        study_instance_uid=study.study_instance_uid,
        state=study.state,
        revision=study.revision,
        calling_ae_title=study.calling_ae_title,
        received_at=study.received_at,
        last_instance_at=study.last_instance_at,
        failure_reason=study.failure_reason,
        swept=study.sweep_id is not None,
        header=None if header is None else patient_header(header),
        instances=_instances(session, study.id),
        analyses=_analyses(session, study.id),
        reviews=_reviews(session, study.id),
    )


def _instances(session: Session, study_id: int) -> tuple[InstanceRecord, ...]:
    rows = session.scalars(
        select(Instance).where(Instance.study_id == study_id).order_by(Instance.id)
    )
    return tuple(
        InstanceRecord(**{name: getattr(row, name) for name in InstanceRecord.__slots__})
        for row in rows
    )


def _analyses(session: Session, study_id: int) -> tuple[AnalysisRecord, ...]:
    rows = session.scalars(
        select(Analysis)
        .where(Analysis.study_id == study_id)
        .order_by(Analysis.revision.desc())
        .options(
            selectinload(Analysis.findings),
            selectinload(Analysis.results).selectinload(ResultObject.deliveries),
        )
    )
    return tuple(_analysis(row) for row in rows)


def _analysis(row: Analysis) -> AnalysisRecord:
    return AnalysisRecord(
        verdict=verdict(row),
        started_at=row.started_at,
        superseded_at=row.superseded_at,
        swept=row.sweep_id is not None,
        findings=tuple(finding_record(finding) for finding in row.findings),
        results=tuple(result_summary(result) for result in row.results),
        unflagged_reason=row.unflagged_reason,
        identity_conflict=row.identity_conflict,
    )


def _reviews(session: Session, study_id: int) -> tuple[ReviewRecord, ...]:
    rows = session.scalars(select(Review).where(Review.study_id == study_id).order_by(Review.id))
    return tuple(ReviewRecord(review_record(row), row.superseded_at) for row in rows)
