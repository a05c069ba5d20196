"""What operators and pages read of the ledger; changes nothing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, selectinload

from db.circuits import circuits
from db.columns import came_by_itself
from db.outcomes import Outcome
from db.records import (
    AnalysisSummary,
    DeliverySummary,
    LedgerStatus,
    NewFinding,
    ResultSummary,
    StudySummary,
    WaitingStudy,
)
from db.states import DeliveryState, StudyState
from db.tables import Analysis, Delivery, Finding, Instance, ResultObject, Study

_AT_THE_DESTINATION = (DeliveryState.SENT, DeliveryState.COMMITTED)
_WAITING = (StudyState.READY, StudyState.QUEUED, StudyState.SCREENING)


def status(session: Session, now: datetime) -> LedgerStatus:
    """Count everything."""
    states = select(Study.state, func.count()).group_by(Study.state)
    outcomes = select(Analysis.outcome, func.count()).group_by(Analysis.outcome)
    deliveries = select(Delivery.state, func.count()).group_by(Delivery.state)
    warnings = select(func.count(Delivery.id)).where(
        Delivery.state.in_(_AT_THE_DESTINATION), Delivery.last_status != 0
    )
    current = outcomes.where(Analysis.superseded_at.is_(None))
    return LedgerStatus(
        studies=dict.fromkeys(StudyState, 0) | dict(session.execute(states).all()),
        analyses=dict.fromkeys(Outcome, 0) | dict(session.execute(current).all()),
        deliveries=dict.fromkeys(DeliveryState, 0) | dict(session.execute(deliveries).all()),
        sent_with_warning=session.scalar(warnings) or 0,
        circuits=circuits(session, now),
        oldest_waiting=_oldest_waiting(session),
        last_activity=_last_activity(session),
    )


def study_summary(session: Session, study_instance_uid: str) -> StudySummary | None:
    """One study with its current analysis."""
    chosen = select(Study).where(Study.study_instance_uid == study_instance_uid)
    summaries = _summaries(session, chosen)
    return summaries[0] if summaries else None


def recent_studies(session: Session, limit: int) -> list[StudySummary]:
    """The studies that got an instance last, newest first."""
    newest = select(Study).order_by(Study.last_instance_at.desc(), Study.id.desc())
    return _summaries(session, newest.limit(limit))


def _oldest_waiting(session: Session) -> WaitingStudy | None:
    oldest = session.scalar(
        select(Study)
        .where(Study.state.in_(_WAITING), Study.ready_at.is_not(None))
        .where(came_by_itself(Study.sweep_id))
        .order_by(Study.ready_at, Study.id)
        .limit(1)
    )
    if oldest is None or oldest.ready_at is None:
        return None
    return WaitingStudy(oldest.study_instance_uid, oldest.state, oldest.ready_at)


def _last_activity(session: Session) -> datetime | None:
    columns = (Study.last_instance_at, Study.state_changed_at, Delivery.sent_at)
    times = [session.scalar(select(func.max(column))) for column in columns]
    return max((time for time in times if time is not None), default=None)


def _summaries(session: Session, chosen: Select[Study]) -> list[StudySummary]:
    studies = session.scalars(chosen).all()
    ids = [study.id for study in studies]
    analyses = _current_analyses(session, ids)
    counts = _instance_counts(session, ids)
    return [
        _study_summary(study, counts.get(study.id, 0), analyses.get(study.id)) for study in studies
    ]


def _current_analyses(session: Session, study_ids: Sequence[int]) -> dict[int, AnalysisSummary]:
    current = session.scalars(
        select(Analysis)
        .where(Analysis.study_id.in_(study_ids), Analysis.superseded_at.is_(None))
        .options(
            selectinload(Analysis.findings),
            selectinload(Analysis.results).selectinload(ResultObject.deliveries),
        )
    )
    return {analysis.study_id: _analysis_summary(analysis) for analysis in current}


def _instance_counts(session: Session, study_ids: Sequence[int]) -> dict[int, int]:
    counted = (
        select(Instance.study_id, func.count())
        .where(Instance.study_id.in_(study_ids))
        .group_by(Instance.study_id)
    )
    return dict(session.execute(counted).all())


def _study_summary(
    study: Study, instance_count: int, analysis: AnalysisSummary | None
) -> StudySummary:
    return StudySummary(
        study_instance_uid=study.study_instance_uid,
        state=study.state,
        revision=study.revision,
        attempts=study.attempts,
        calling_ae_title=study.calling_ae_title,
        instance_count=instance_count,
        received_at=study.received_at,
        last_instance_at=study.last_instance_at,
        failure_reason=study.failure_reason,
        analysis=analysis,
    )


def _analysis_summary(analysis: Analysis) -> AnalysisSummary:
    return AnalysisSummary(
        revision=analysis.revision,
        model_name=analysis.model_name,
        model_version=analysis.model_version,
        model_digest=analysis.model_digest,
        outcome=analysis.outcome,
        reason=analysis.reason,
        probability=analysis.probability,
        started_at=analysis.started_at,
        finished_at=analysis.finished_at,
        findings=tuple(finding_record(finding) for finding in analysis.findings),
        results=tuple(result_summary(result) for result in analysis.results),
        unflagged_reason=analysis.unflagged_reason,
    )


def finding_record(finding: Finding) -> NewFinding:
    """A finding from its row."""
    return NewFinding(
        sop_instance_uid=finding.sop_instance_uid,
        frame_number=finding.frame_number,
        analysed=finding.analysed,
        reason=finding.reason,
        probability=finding.probability,
        operating_point=finding.operating_point,
        peak_row=finding.peak_row,
        peak_column=finding.peak_column,
        body_part_examined=finding.body_part_examined,
        device=finding.device,
        mean_intensity=finding.mean_intensity,
        rows=finding.rows,
        columns=finding.columns,
    )


def result_summary(result: ResultObject) -> ResultSummary:
    """A result object from its row."""
    return ResultSummary(
        sop_instance_uid=result.sop_instance_uid,
        kind=result.kind,
        path=result.path,
        deliveries=tuple(delivery_summary(delivery) for delivery in result.deliveries),
        purged_at=result.purged_at,
    )


def delivery_summary(delivery: Delivery) -> DeliverySummary:
    """A delivery from its row."""
    return DeliverySummary(
        destination=delivery.destination,
        state=delivery.state,
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        next_attempt_at=delivery.next_attempt_at,
        sent_at=delivery.sent_at,
    )
