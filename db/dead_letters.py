"""Deliveries as operators see and steer them: listed, replayed, discarded; and the outdated ones.

A delivery is outdated when a later analysis of its study, one that did not fail, makes do without
its result object. It is withdrawn instead of sent, so that an outage of a PACS does not end with
yesterday's report arriving after today's. A revision that FAILED withdraws nothing: what was found
before is then still the best there is.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from db.outcomes import Outcome
from db.records import DeliveryFilter, DeliveryRecord
from db.states import DeliveryState
from db.tables import Analysis, Delivery, ResultObject, Study, analysis_result
from db.transitions import move_deliveries

OUTDATED = "withdrawn: a later analysis replaced it before the destination was known to have it"
DISCARDED = "discarded by an operator"


def list_deliveries(session: Session, chosen: DeliveryFilter, limit: int) -> list[DeliveryRecord]:
    """Up to `limit` deliveries, newest first."""
    rows = session.execute(
        select(Delivery, ResultObject, Study.study_instance_uid)
        .join(ResultObject, Delivery.result_object_id == ResultObject.id)
        .join(Study, ResultObject.study_id == Study.id)
        .where(*_conditions(chosen))
        .order_by(Delivery.id.desc())
        .limit(limit)
    ).all()
    return [_record(delivery, result, uid) for delivery, result, uid in rows]


def count_deliveries(session: Session, chosen: DeliveryFilter) -> int:
    """How many deliveries are meant."""
    return session.scalar(select(func.count(Delivery.id)).where(*_conditions(chosen))) or 0


def replay(session: Session, chosen: DeliveryFilter, now: datetime) -> int:
    """Make dead letters PENDING again, as if never tried; not those whose file was purged."""
    here = select(ResultObject.id).where(ResultObject.purged_at.is_(None))
    moved = move_deliveries(
        session,
        DeliveryState.FAILED,
        DeliveryState.PENDING,
        *_conditions(chosen),
        Delivery.result_object_id.in_(here),
        attempts=0,
        next_attempt_at=now,
        confirm_at=None,
        confirm_attempts=0,
        transaction_uid=None,
    )
    return len(moved)


def discard(session: Session, chosen: DeliveryFilter, now: datetime) -> int:
    """Withdraw dead letters, and PENDING deliveries that no worker is sending just now."""
    free = or_(Delivery.lease_owner.is_(None), Delivery.lease_expires_at <= now)
    conditions = _conditions(chosen)
    return len(_withdraw(session, DeliveryState.FAILED, DISCARDED, *conditions)) + len(
        _withdraw(session, DeliveryState.PENDING, DISCARDED, *conditions, free)
    )


def withdraw_outdated(
    session: Session, study_id: int, now: datetime, *conditions: ColumnElement[bool]
) -> int:
    """Withdraw the study's outdated deliveries, dead letters too, that no worker is sending."""
    latest = (
        select(func.max(Analysis.revision))
        .where(Analysis.study_id == study_id, Analysis.outcome != Outcome.FAILED)
        .scalar_subquery()
    )
    wanted = (
        select(analysis_result.c.result_object_id)
        .join(Analysis, Analysis.id == analysis_result.c.analysis_id)
        .where(Analysis.study_id == study_id, Analysis.revision == latest)
    )
    of_study = select(ResultObject.id).where(ResultObject.study_id == study_id)
    free = or_(Delivery.lease_owner.is_(None), Delivery.lease_expires_at <= now)
    outdated = (
        Delivery.result_object_id.in_(of_study),
        Delivery.result_object_id.not_in(wanted),
        Delivery.sent_at.is_(None),
        exists().where(Analysis.study_id == study_id, Analysis.outcome != Outcome.FAILED),
        free,
        *conditions,
    )
    return sum(
        len(_withdraw(session, state, OUTDATED, *outdated))
        for state in (DeliveryState.PENDING, DeliveryState.FAILED)
    )


def _withdraw(
    session: Session, origin: DeliveryState, reason: str, *conditions: ColumnElement[bool]
) -> Sequence[int]:
    return move_deliveries(
        session,
        origin,
        DeliveryState.WITHDRAWN,
        *conditions,
        next_attempt_at=None,
        confirm_at=None,
        last_error=reason,
    )


def _conditions(chosen: DeliveryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.destination is not None:
        conditions.append(Delivery.destination == chosen.destination)
    if chosen.states:
        conditions.append(Delivery.state.in_(chosen.states))
    if chosen.with_warning:
        conditions += [Delivery.sent_at.is_not(None), Delivery.last_status != 0]
    if chosen.delivery_ids:
        conditions.append(Delivery.id.in_(chosen.delivery_ids))
    if chosen.study_instance_uid is not None:
        of_study = (
            select(ResultObject.id)
            .join(Study, ResultObject.study_id == Study.id)
            .where(Study.study_instance_uid == chosen.study_instance_uid)
        )
        conditions.append(Delivery.result_object_id.in_(of_study))
    return conditions


def _record(delivery: Delivery, result: ResultObject, study_instance_uid: str) -> DeliveryRecord:
    return DeliveryRecord(
        delivery_id=delivery.id,
        destination=delivery.destination,
        state=delivery.state,
        study_instance_uid=study_instance_uid,
        sop_instance_uid=result.sop_instance_uid,
        kind=result.kind,
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        next_attempt_at=delivery.next_attempt_at,
        sent_at=delivery.sent_at,
        confirm_at=delivery.confirm_at,
        confirm_attempts=delivery.confirm_attempts,
        confirmed_at=delivery.confirmed_at,
        transaction_uid=delivery.transaction_uid,
        path=result.path,
        sha256=result.sha256,
        purged_at=result.purged_at,
    )
