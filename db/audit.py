"""The audit trail: who did what, and when. Rows are added in the transaction of what they tell."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.columns import storable
from db.session import reading, transaction
from db.tables import AuditEvent, Study, StudyHeader

Details = Mapping[str, Any]
"""Any: JSON. Figures and reasons, without patient data."""
NO_DETAILS: Details = MappingProxyType({})
RETRIED_STUDY = "retried study"
"""The action of whoever has a FAILED study screened again."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the trail."""

    happened_at: datetime
    actor: str
    action: str
    subject: str
    details: Details
    event_id: int = 0
    """Of the row: later events have higher ones."""

    @property
    def in_words(self) -> str:
        """The details, for people: "address 10.0.0.7, reason locked"."""
        return ", ".join(
            f"{key.replace('_', ' ')} {value if isinstance(value, str) else json.dumps(value)}"
            for key, value in self.details.items()
            if value not in ("", None)
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines of the trail; what is "" or None does not matter."""

    action: str = ""
    actor: str = ""
    """Part of it, in any case, as of `subject`."""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""


class Trail:
    """The audit trail to read. Errors and clock as in `Ledger`; safe to share between threads."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def note(self, actor: str, action: str, subject: str, details: Details) -> None:
        """Add an event that stands for itself, in a transaction of its own."""
        with transaction(self._engine) as session:
            record_event(session, actor, action, subject, details, self._clock())

    def page(self, wanted: Wanted, limit: int, before: int | None = None) -> list[AuditRecord]:
        """At most `limit` events, newest first; only those older than the event `before`."""
        chosen = _chosen(wanted).order_by(AuditEvent.id.desc()).limit(limit)
        if before is not None:
            chosen = chosen.where(AuditEvent.id < before)
        with reading(self._engine) as session:
            return [_record(row) for row in session.scalars(chosen)]

    def all(self, wanted: Wanted, page_size: int = 1000) -> Iterator[AuditRecord]:
        """Every event, oldest first, read by pages; ends with the last event of this moment."""
        newest, last = self.page(Wanted(), 1), 0
        end = newest[0].event_id if newest else 0
        while last < end:
            between = AuditEvent.id.between(last + 1, end)
            chosen = _chosen(wanted).where(between).order_by(AuditEvent.id).limit(page_size)
            with reading(self._engine) as session:
                found = [_record(row) for row in session.scalars(chosen)]
            yield from found
            last = found[-1].event_id if len(found) == page_size else end

    def patient_id(self, study_instance_uid: str) -> str:
        """Of a study; "" if it is not known. For messages that must name the patient."""
        wanted = (
            select(StudyHeader.patient_id)
            .join(Study, Study.id == StudyHeader.study_id)
            .where(Study.study_instance_uid == study_instance_uid)
        )
        with reading(self._engine) as session:
            return session.scalar(wanted) or ""


def record_event(
    session: Session, actor: str, action: str, subject: str, details: Details, now: datetime
) -> None:
    """Add one event."""
    session.add(
        AuditEvent(
            happened_at=now,
            actor=storable(actor)[:255],
            action=action,
            subject=storable(subject)[:255],
            details=dict(details),
        )
    )


def recent_events(
    session: Session, limit: int, subject: str | None = None, kind: str = ""
) -> list[AuditRecord]:
    """The last events, newest first; of one subject, or whose action begins so, if given."""
    newest = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if subject is not None:
        newest = newest.where(AuditEvent.subject == subject)
    if kind:
        newest = newest.where(AuditEvent.action.startswith(kind, autoescape=True))
    return [_record(row) for row in session.scalars(newest)]


def _chosen(wanted: Wanted) -> Select[AuditEvent]:
    chosen = select(AuditEvent)
    if wanted.action:
        chosen = chosen.where(AuditEvent.action == storable(wanted.action))
    if wanted.actor:
        chosen = chosen.where(_holds(AuditEvent.actor, wanted.actor))
    if wanted.subject:
        chosen = chosen.where(_holds(AuditEvent.subject, wanted.subject))
    if wanted.since is not None:
        chosen = chosen.where(AuditEvent.happened_at >= wanted.since)
    if wanted.until is not None:
        chosen = chosen.where(AuditEvent.happened_at < wanted.until)
    return chosen


def _holds(column: InstrumentedAttribute[str], part: str) -> ColumnElement[bool]:
    return column.icontains(storable(part), autoescape=True)


def _record(row: AuditEvent) -> AuditRecord:
    return AuditRecord(row.happened_at, row.actor, row.action, row.subject, row.details, row.id)
