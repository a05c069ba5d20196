"""Result objects on their way to destinations: what is due, who sends it, how it went."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from db.circuits import (
    half_open_destinations,
    is_probing,
    is_shut_out,
    troubled_destinations,
)
from db.dead_letters import withdraw_outdated
from db.records import ClaimedDelivery, DueDelivery
from db.states import DeliveryState
from db.tables import Delivery, ResultObject, Study
from db.transitions import move_deliveries

_MINUTE = timedelta(minutes=1)


def due_deliveries(
    session: Session, limit: int, hold: timedelta, now: datetime
) -> list[DueDelivery]:
    """Up to `limit` due groups, longest waiting first, none of them given out for `hold`.

    None for a destination whose circuit is open, and one at a time for one that is probed.
    """
    healthy = Delivery.destination.not_in(troubled_destinations())
    groups = _due_groups(session, limit, now, healthy)
    for destination in half_open_destinations(session, now):
        if not _is_busy(session, destination, now):
            groups += _due_groups(session, 1, now, Delivery.destination == destination)
    return [group for group in groups if _hold(session, group, now + hold, now)]


def claim_deliveries(
    session: Session,
    study_id: int,
    destination: str,
    owner: str,
    lease: timedelta,
    now: datetime,
) -> list[ClaimedDelivery]:
    """Lease a group's due deliveries that no other worker holds; none past an open circuit."""
    in_group = _in_group(study_id, destination)
    withdraw_outdated(session, study_id, now, in_group)
    if is_shut_out(session, destination, now) or (
        is_probing(session, destination) and _is_claimed(session, destination, now)
    ):
        _release_holds(session, in_group)
        return []
    rows = session.execute(
        select(Delivery, Study.study_instance_uid, ResultObject.sop_instance_uid, ResultObject.path)
        .join(ResultObject, Delivery.result_object_id == ResultObject.id)
        .join(Study, ResultObject.study_id == Study.id)
        .where(
            in_group,
            _is_due(now),
            or_(_is_unleased(now), Delivery.lease_owner.is_(None)),
        )
        .order_by(Delivery.id)
        .with_for_update(of=Delivery, skip_locked=True)
    ).all()
    for delivery, *_ in rows:
        delivery.attempts += 1
        delivery.lease_owner = owner
        delivery.lease_expires_at = now + lease
    return [
        ClaimedDelivery(delivery.id, study_instance_uid, sop_instance_uid, path, delivery.attempts)
        for delivery, study_instance_uid, sop_instance_uid, path in rows
    ]


def postpone_over_rate(
    session: Session, study_id: int, destination: str, per_minute: int, now: datetime
) -> datetime | None:
    """Put a group off if the destination had `per_minute` objects within a minute; until when.

    Those put off share the minutes to come, so that they don't all come back at once. None: it may
    go. Two workers of one destination may let one more pass.
    """
    to_destination = Delivery.destination == destination
    lately = Delivery.sent_at > now - _MINUTE
    sent = session.scalar(select(func.count()).where(to_destination, lately)) or 0
    if sent < per_minute:
        return None
    pending = Delivery.state == DeliveryState.PENDING
    put_off = select(func.count()).where(
        to_destination, pending, Delivery.next_attempt_at > now, Delivery.attempts == 0
    )
    until = now + _MINUTE * (1 + (session.scalar(put_off) or 0) // per_minute)
    unclaimed = or_(_is_unleased(now), Delivery.lease_owner.is_(None))
    session.execute(
        update(Delivery)
        .where(_in_group(study_id, destination), _is_due(now), unclaimed)
        .values(next_attempt_at=until, lease_owner=None, lease_expires_at=None)
        .execution_options(synchronize_session=False)
    )
    return until


def record_delivery(
    session: Session,
    delivery_id: int,
    owner: str,
    *,
    sent: bool,
    status: int | None,
    error: str,
    next_attempt_at: datetime | None,
    confirm_at: datetime | None,
    now: datetime,
) -> None:
    """Record how one attempt of the lease's owner went."""
    held = (Delivery.id == delivery_id, Delivery.lease_owner == owner)
    told: dict[str, object] = {"last_status": status, "last_error": error}
    pending = DeliveryState.PENDING
    if sent:
        told |= {"sent_at": now, "next_attempt_at": None}
        told |= {"confirm_at": confirm_at, "confirm_attempts": 0}
        move_deliveries(session, pending, DeliveryState.SENT, *held, **told)
    elif next_attempt_at is None:
        told |= {"next_attempt_at": None}
        move_deliveries(session, pending, DeliveryState.FAILED, *held, **told)
    else:
        told |= {"next_attempt_at": next_attempt_at, "lease_owner": None, "lease_expires_at": None}
        session.execute(
            update(Delivery)
            .where(Delivery.state == pending, *held)
            .values(**told)
            .execution_options(synchronize_session=False)
        )


def _due_groups(
    session: Session, limit: int, now: datetime, *conditions: ColumnElement[bool]
) -> list[DueDelivery]:
    groups = session.execute(
        select(ResultObject.study_id, Delivery.destination)
        .join(ResultObject)
        .where(_is_due(now), _is_unleased(now), *conditions)
        .group_by(ResultObject.study_id, Delivery.destination)
        .order_by(func.min(Delivery.next_attempt_at), ResultObject.study_id, Delivery.destination)
        .limit(limit)
    )
    return [DueDelivery(study_id, destination) for study_id, destination in groups]


def _is_due(now: datetime) -> ColumnElement[bool]:
    return (Delivery.state == DeliveryState.PENDING) & (Delivery.next_attempt_at <= now)


def _is_unleased(now: datetime) -> ColumnElement[bool]:
    return or_(Delivery.lease_expires_at.is_(None), Delivery.lease_expires_at <= now)


def _in_group(study_id: int, destination: str) -> ColumnElement[bool]:
    objects = select(ResultObject.id).where(ResultObject.study_id == study_id)
    return Delivery.result_object_id.in_(objects) & (Delivery.destination == destination)


def _is_busy(session: Session, destination: str, now: datetime) -> bool:
    """Whether something for the destination is published or being sent."""
    return _has_pending(session, destination, Delivery.lease_expires_at > now)


def _is_claimed(session: Session, destination: str, now: datetime) -> bool:
    """Whether a worker is sending something to the destination."""
    claimed = Delivery.lease_owner.is_not(None)
    return _has_pending(session, destination, Delivery.lease_expires_at > now, claimed)


def _has_pending(session: Session, destination: str, *conditions: ColumnElement[bool]) -> bool:
    found = session.scalar(
        select(Delivery.id)
        .where(
            Delivery.state == DeliveryState.PENDING,
            Delivery.destination == destination,
            *conditions,
        )
        .limit(1)
    )
    return found is not None


def _release_holds(session: Session, in_group: ColumnElement[bool]) -> None:
    session.execute(
        update(Delivery)
        .where(in_group, Delivery.state == DeliveryState.PENDING, Delivery.lease_owner.is_(None))
        .values(lease_expires_at=None)
        .execution_options(synchronize_session=False)
    )


def _hold(session: Session, group: DueDelivery, until: datetime, now: datetime) -> bool:
    # Locked rows belong to another dispatcher or a worker.
    free = (
        select(Delivery.id)
        .where(_in_group(group.study_id, group.destination), _is_due(now), _is_unleased(now))
        .with_for_update(skip_locked=True)
    )
    held = session.scalars(
        update(Delivery)
        .where(Delivery.id.in_(free))
        .values(lease_owner=None, lease_expires_at=until)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    ).all()
    return bool(held)
