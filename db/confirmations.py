"""Results that were sent and wait for the destination to say that it keeps them.

By storage commitment (PS3.4 annex J) or by a query; `db` only knows when to ask and what came.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from db.circuits import is_shut_out, shut_out_destinations
from db.records import ClaimedConfirmation, DueDelivery
from db.states import DeliveryState
from db.tables import CommitmentRequest, Delivery, ResultObject, Study
from db.transitions import move_deliveries


def due_confirmations(
    session: Session, limit: int, hold: timedelta, now: datetime
) -> list[DueDelivery]:
    """Up to `limit` groups to ask for, longest waiting first, none given out again for `hold`."""
    groups = session.execute(
        select(ResultObject.study_id, Delivery.destination)
        .join(ResultObject)
        .where(_is_due(now), Delivery.destination.not_in(shut_out_destinations(now)))
        .group_by(ResultObject.study_id, Delivery.destination)
        .order_by(func.min(Delivery.confirm_at), ResultObject.study_id, Delivery.destination)
        .limit(limit)
    ).all()
    for study_id, destination in groups:
        _ask_again_at(session, now + hold, _in_group(study_id, destination), _is_due(now))
    return [DueDelivery(study_id, destination) for study_id, destination in groups]


def claim_confirmations(
    session: Session,
    study_id: int,
    destination: str,
    transaction_uid: str,
    ask_again: timedelta,
    now: datetime,
) -> list[ClaimedConfirmation]:
    """Open a request for all of a group that is not confirmed; asked again after `ask_again`.

    A repeated message opens another request, which harms nobody. None past an open circuit.
    """
    if is_shut_out(session, destination, now):
        return []
    rows = session.execute(
        select(Delivery, ResultObject, Study.study_instance_uid)
        .join(ResultObject, Delivery.result_object_id == ResultObject.id)
        .join(Study, ResultObject.study_id == Study.id)
        .where(
            _in_group(study_id, destination),
            Delivery.state == DeliveryState.SENT,
            Delivery.confirm_at.is_not(None),
        )
        .order_by(Delivery.id)
        .with_for_update(of=Delivery, skip_locked=True)
    ).all()
    if not rows:
        return []
    session.add(
        CommitmentRequest(
            transaction_uid=transaction_uid,
            study_id=study_id,
            destination=destination,
            asked_at=now,
        )
    )
    for delivery, _, _ in rows:
        delivery.confirm_attempts += 1
        delivery.transaction_uid = transaction_uid
        delivery.confirm_at = now + ask_again
    return [
        ClaimedConfirmation(
            delivery_id=delivery.id,
            study_instance_uid=uid,
            series_instance_uid=result.series_instance_uid,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            attempts=delivery.confirm_attempts,
        )
        for delivery, result, uid in rows
    ]


def record_confirmation(
    session: Session,
    transaction_uid: str,
    kept: Collection[str],
    lost: Mapping[str, str],
    now: datetime,
) -> bool:
    """Enter what the destination said of a request; False if the request is not known.

    A late answer to an earlier request still tells what the destination keeps; what it says is lost
    counts only from the latest request, since the object may have been sent again meanwhile.

    Args:
        kept: SOP Instance UIDs that the destination took responsibility for.
        lost: SOP Instance UID → reason of those that it will never keep.
    """
    request = session.get(CommitmentRequest, transaction_uid, with_for_update=True)
    if request is None:
        return False
    request.answered_at = now
    group = _in_group(request.study_id, request.destination)
    sent = DeliveryState.SENT
    move_deliveries(
        session,
        sent,
        DeliveryState.COMMITTED,
        group,
        Delivery.result_object_id.in_(_objects(kept)),
        confirm_at=None,
        confirmed_at=now,
    )
    latest = Delivery.transaction_uid == transaction_uid
    for sop_instance_uid, reason in lost.items():
        this = Delivery.result_object_id.in_(_objects([sop_instance_uid]))
        move_deliveries(
            session,
            sent,
            DeliveryState.FAILED,
            group,
            latest,
            this,
            confirm_at=None,
            last_error=reason,
        )
    return True


def postpone_confirmation(
    session: Session, transaction_uid: str, ask_again_at: datetime, error: str
) -> None:
    """The request could not be made, or was not granted yet: ask again then."""
    session.execute(
        update(Delivery)
        .where(Delivery.transaction_uid == transaction_uid, Delivery.state == DeliveryState.SENT)
        .values(confirm_at=ask_again_at, last_error=error)
        .execution_options(synchronize_session=False)
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return (Delivery.state == DeliveryState.SENT) & (Delivery.confirm_at <= now)


def _in_group(study_id: int, destination: str) -> ColumnElement[bool]:
    objects = select(ResultObject.id).where(ResultObject.study_id == study_id)
    return Delivery.result_object_id.in_(objects) & (Delivery.destination == destination)


def _objects(sop_instance_uids: Collection[str]) -> Select[int]:
    return select(ResultObject.id).where(ResultObject.sop_instance_uid.in_(sop_instance_uids))


def _ask_again_at(session: Session, when: datetime, *conditions: ColumnElement[bool]) -> None:
    session.execute(
        update(Delivery)
        .where(*conditions)
        .values(confirm_at=when)
        .execution_options(synchronize_session=False)
    )
