"""The only place that changes the state of a study or a delivery: one conditional UPDATE each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from db.states import LEGAL_DELIVERY_MOVES, LEGAL_STUDY_MOVES, DeliveryState, StudyState
from db.tables import Delivery, Study

NEXT_REVISION: Mapping[str, Any] = MappingProxyType(
    {"revision": Study.revision + 1, "attempts": 0, "interruptions": 0, "failure_reason": ""}
)
"""What changes in a concluded study that is taken up again. Any: values and expressions."""


def move_studies(
    session: Session,
    origin: StudyState,
    target: StudyState,
    now: datetime,
    *conditions: ColumnElement[bool],
    **changes: object,
) -> Sequence[int]:
    """Move every study that is in `origin` and meets the conditions; return the ids moved.

    A move always ends the lease, unless `changes` starts one. ValueError: not a legal move.
    """
    if target not in LEGAL_STUDY_MOVES[origin]:
        raise ValueError(f"a study may not move from {origin} to {target}: see LEGAL_STUDY_MOVES")
    values = {"lease_owner": None, "lease_expires_at": None, **changes}
    statement = (
        update(Study)
        .where(Study.state == origin, *conditions)
        .values(state=target, state_changed_at=now, **values)
        .returning(Study.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).all()


def move_deliveries(
    session: Session,
    origin: DeliveryState,
    target: DeliveryState,
    *conditions: ColumnElement[bool],
    **changes: object,
) -> Sequence[int]:
    """Move every delivery that is in `origin` and meets the conditions; return the ids moved.

    A move always ends the lease. ValueError: not a legal move.
    """
    if target not in LEGAL_DELIVERY_MOVES[origin]:
        raise ValueError(
            f"a delivery may not move from {origin} to {target}: see LEGAL_DELIVERY_MOVES"
        )
    statement = (
        update(Delivery)
        .where(Delivery.state == origin, *conditions)
        .values(state=target, lease_owner=None, lease_expires_at=None, **changes)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).all()
