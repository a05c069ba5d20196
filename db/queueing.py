"""From quiet study to claimed study: readiness, the outbox, leases. Publishes nothing itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.conclusions import attempts_spent, give_up, queue_again
from db.failure_reasons import FailureReason
from db.outcomes import Outcome
from db.overview import finding_record
from db.records import (
    ClaimedInstance,
    ClaimedStudy,
    PurgedInstance,
    QueuedStudy,
    ReleasedStudy,
)
from db.states import DeliveryState, FlagKind, StudyState, SweepStudyState
from db.tables import Analysis, Delivery, Instance, ResultObject, Study, SweepStudy
from db.transitions import move_studies

_UNFINISHED = (
    StudyState.RECEIVING,
    StudyState.READY,
    StudyState.QUEUED,
    StudyState.SCREENING,
)


def mark_quiet_studies_ready(session: Session, quiet_period: timedelta, now: datetime) -> int:
    """Make READY every RECEIVING study whose last instance is `quiet_period` old.

    A study that its sweep is still fetching waits: a fetch that was cut short leaves a part of it,
    and a part of a study must not be concluded.
    """
    being_fetched = select(SweepStudy.id).where(
        SweepStudy.study_instance_uid == Study.study_instance_uid,
        SweepStudy.sweep_id == Study.sweep_id,
        SweepStudy.state == SweepStudyState.FETCHING,
        SweepStudy.next_attempt_at > now,
    )
    quiet = select(Study.id).where(
        Study.state == StudyState.RECEIVING,
        Study.last_instance_at <= now - quiet_period,
        ~being_fetched.exists(),
    )
    # A row that is locked is just getting an instance: it isn't quiet.
    quiet = quiet.with_for_update(skip_locked=True)
    moved = move_studies(
        session,
        StudyState.RECEIVING,
        StudyState.READY,
        now,
        Study.id.in_(quiet),
        ready_at=now,
    )
    return len(moved)


def queue_ready_studies(
    session: Session, limit: int, backlog_limit: int, now: datetime
) -> list[QueuedStudy]:
    """Make QUEUED up to `limit` READY studies, longest waiting first."""
    ready, backlog = Study.state == StudyState.READY, Study.sweep_id.is_not(None)
    ids = [*_lock_studies(session, Study.ready_at, limit, ready, ~backlog)]
    under_way = select(func.count()).where(
        Study.state.in_((StudyState.QUEUED, StudyState.SCREENING)), backlog
    )
    room = min(limit, backlog_limit - (session.scalar(under_way) or 0))
    if room > 0:
        ids += _lock_studies(session, Study.ready_at, room, ready, backlog)
    moved = move_studies(session, StudyState.READY, StudyState.QUEUED, now, Study.id.in_(ids))
    return _queued(session, moved)


def requeue_unclaimed(
    session: Session, queued_before: timedelta, limit: int, now: datetime
) -> list[QueuedStudy]:
    """Studies QUEUED (or last published) at least `queued_before` ago."""
    overdue = (Study.state == StudyState.QUEUED, Study.state_changed_at <= now - queued_before)
    ids = _lock_studies(session, Study.state_changed_at, limit, *overdue)
    touched = session.scalars(
        update(Study)
        .where(Study.id.in_(ids), *overdue)
        .values(state_changed_at=now)
        .returning(Study.id)
        .execution_options(synchronize_session=False)
    ).all()
    return _queued(session, touched)


def release_expired_leases(
    session: Session, max_attempts: int, now: datetime
) -> list[ReleasedStudy]:
    """Take back every SCREENING study whose lease has ended."""
    expired = session.scalars(
        select(Study)
        .where(Study.state == StudyState.SCREENING, Study.lease_expires_at <= now)
        .order_by(Study.id)
        .with_for_update(skip_locked=True)
    ).all()
    return [_release(session, study, max_attempts, now) for study in expired]


def has_unfinished_work(session: Session) -> bool:
    """Whether a study is not concluded, or a delivery not sent or not confirmed yet."""
    found = (
        select(Study.id).where(Study.state.in_(_UNFINISHED)),
        select(Delivery.id).where(Delivery.state == DeliveryState.PENDING),
        select(Delivery.id).where(
            Delivery.state == DeliveryState.SENT, Delivery.confirm_at.is_not(None)
        ),
    )
    return any(session.scalar(query.limit(1)) is not None for query in found)


def claim_study(
    session: Session, study_id: int, revision: int, owner: str, lease: timedelta, now: datetime
) -> ClaimedStudy | None:
    """Move a QUEUED study to SCREENING under a lease; None if it isn't QUEUED in this revision."""
    moved = move_studies(
        session,
        StudyState.QUEUED,
        StudyState.SCREENING,
        now,
        Study.id == study_id,
        Study.revision == revision,
        attempts=Study.attempts + 1,
        lease_owner=owner,
        lease_expires_at=now + lease,
    )
    if not moved:
        return None
    study = session.get_one(Study, study_id)
    return ClaimedStudy(
        study_id=study.id,
        revision=study.revision,
        study_instance_uid=study.study_instance_uid,
        attempt=study.attempts,
        ready_at=study.ready_at or study.last_instance_at,
        instances=_instances(session, study_id),
        sweep_id=study.sweep_id,
        delivered_outcome=session.scalar(
            select(Analysis.outcome).where(
                Analysis.study_id == study_id,
                Analysis.superseded_at.is_(None),
                Analysis.results.any(),
            )
        ),
        reported_at_source=_is_reported(session, study),
        told=_told(session, study_id),
    )


def _is_reported(session: Session, study: Study) -> bool:
    found = select(SweepStudy.id).where(
        SweepStudy.sweep_id == study.sweep_id,
        SweepStudy.study_instance_uid == study.study_instance_uid,
        SweepStudy.reported.is_(True),
    )
    return study.sweep_id is not None and session.scalar(found) is not None


def _told(session: Session, study_id: int) -> dict[str, Outcome]:
    # An attempt whose answer was lost may have arrived.
    sent = or_(Delivery.sent_at.is_not(None), Delivery.attempts > 0)
    of_messages = ResultObject.kind.in_(list(FlagKind))
    messages = (
        select(Delivery.destination, Analysis.outcome)
        .select_from(Analysis)
        .join(Analysis.results)
        .join(ResultObject.deliveries)
        .where(ResultObject.study_id == study_id, of_messages, sent)
        .order_by(Analysis.id)
    )
    return dict(session.execute(messages).all())


def _release(session: Session, study: Study, max_attempts: int, now: datetime) -> ReleasedStudy:
    spent = attempts_spent(study)
    if spent < max_attempts:
        state = queue_again(session, study, FailureReason.WORKER_ENDED, now)
    else:
        state = give_up(session, study, FailureReason.WORKER_ENDED, now)
    return ReleasedStudy(
        study.id, study.revision, study.study_instance_uid, state, study.sweep_id is not None
    )


def _lock_studies(
    session: Session,
    first: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    limit: int,
    *conditions: ColumnElement[bool],
) -> Sequence[int]:
    # Two dispatchers take different rows on PostgreSQL; on SQLite the whole transaction excludes.
    return session.scalars(
        select(Study.id)
        .where(*conditions)
        .order_by(first, Study.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def _queued(session: Session, ids: Sequence[int]) -> list[QueuedStudy]:
    rows = session.execute(
        select(Study.id, Study.revision, Study.sweep_id)
        .where(Study.id.in_(ids))
        .order_by(Study.ready_at, Study.id)
    )
    return [
        QueuedStudy(study_id, revision, sweep is not None) for study_id, revision, sweep in rows
    ]


def _instances(session: Session, study_id: int) -> tuple[ClaimedInstance, ...]:
    of_study = (Instance.study_id == study_id, Instance.discarded_at.is_(None))
    rows = session.scalars(select(Instance).where(*of_study)).all()
    paths = {row.sop_instance_uid: row.path for row in rows if row.purged_at is None}
    purged = _purged(session, study_id, rows)
    # Sorted here, since the databases' collations differ.
    rows = sorted(rows, key=lambda row: (row.series_instance_uid, row.sop_instance_uid))
    return tuple(
        ClaimedInstance(
            sop_instance_uid=row.sop_instance_uid,
            sop_class_uid=row.sop_class_uid,
            sha256=row.sha256,
            path=row.path,
            series_instance_uid=row.series_instance_uid,
            purged=purged.get(row.sop_instance_uid),
            patient_path=paths.get(row.patient_of or ""),
        )
        for row in rows
    )


def _purged(session: Session, study_id: int, rows: Sequence[Instance]) -> dict[str, PurgedInstance]:
    """By SOP Instance UID, with what the analysis in force says of them."""
    gone = {row.sop_instance_uid: row.purged_at for row in rows if row.purged_at is not None}
    if not gone:
        return {}
    analysis = session.scalar(
        select(Analysis).where(Analysis.study_id == study_id, Analysis.superseded_at.is_(None))
    )
    findings = [] if analysis is None else [finding_record(one) for one in analysis.findings]
    return {
        uid: PurgedInstance(
            purged_at,
            "" if analysis is None else analysis.model_digest,
            tuple(one for one in findings if one.sop_instance_uid == uid),
        )
        for uid, purged_at in gone.items()
    }
