"""The audit trail: who did what, and when. Rows are added in the transaction of what they tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import AuditEvent

Details = Mapping[str, Any]
"""Any: JSON. Figures and reasons, without patient data."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the trail."""

    happened_at: datetime
    actor: str
    action: str
    subject: str
    details: Details


def record_event(
    session: Session, actor: str, action: str, subject: str, details: Details, now: datetime
) -> None:
    """Add one event."""
    session.add(
        AuditEvent(
            happened_at=now,
            actor=actor[:255],
            action=action,
            subject=subject[:255],
            details=dict(details),
        )
    )


def recent_events(session: Session, limit: int, subject: str | None = None) -> list[AuditRecord]:
    """The last events, newest first; of one subject if it is given."""
    newest = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if subject is not None:
        newest = newest.where(AuditEvent.subject == subject)
    return [
        AuditRecord(row.happened_at, row.actor, row.action, row.subject, row.details)
        for row in session.scalars(newest)
    ]
