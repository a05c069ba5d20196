"""What happened and how things stand, for health, metrics and alarms. Reads only.

Nothing here grows with the ledger: what happened is asked for between two marks, what stands is
found by index. Rows show up by a mark only once it is a look old: PostgreSQL gives numbers out
before it commits, so that the newest ones may still have gaps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from db.columns import came_by_itself
from db.outcomes import Outcome
from db.session import reading
from db.states import DeliveryState, StudyState, SweepState
from db.tables import (
    Analysis,
    Circuit,
    Delivery,
    Instance,
    ResultObject,
    Study,
    StudyOpening,
    Sweep,
)

_UNDER_WAY = (StudyState.RECEIVING, StudyState.READY, StudyState.QUEUED, StudyState.SCREENING)
_WAITING = (StudyState.READY, StudyState.QUEUED, StudyState.SCREENING)
_OPEN = (DeliveryState.PENDING, DeliveryState.FAILED)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the ledger had come at a time: its newest rows."""

    at: datetime
    instance: int
    study: int
    analysis: int


@dataclass(frozen=True, slots=True)
class Concluded:
    """An analysis and how long its study took. None: not to be told, for example in retrospect."""

    outcome: Outcome
    swept: bool
    received_to_ready_s: float | None
    ready_to_concluded_s: float | None


@dataclass(frozen=True, slots=True)
class Happened:
    """Everything between two marks."""

    instances: int
    instance_bytes: int
    studies: int
    concluded: tuple[Concluded, ...]
    concluded_to_sent_s: tuple[tuple[str, float], ...]
    """(destination, seconds) of each delivery that was sent."""
    received_to_opened_s: tuple[float, ...]
    """Of first revisions that triage brought."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand."""

    studies: Mapping[StudyState, int]
    """Every state but SCREENED is a key."""
    oldest_waiting_since: datetime | None
    """When the triage study that waits longest became ready."""
    oldest_undispatched_since: datetime | None
    """Since when the dispatcher could have moved a triage study on and has not; None: no study."""
    triage_completed: bool
    """Whether some triage study was concluded within the time asked for."""
    deliveries: Mapping[tuple[str, DeliveryState], int]
    """(destination, PENDING or FAILED) → how many; and SENT: those still to be confirmed."""
    circuits_open_since: Mapping[str, datetime]
    """Destination → when it failed too often; it is tried one study at a time since."""
    sweeps_running: int
    sweep_advanced_at: datetime | None
    """Of the running sweep that was looked after longest ago."""
    identity_conflicts: int = 0
    """Studies that are held because their instances name different patients."""


class Activity:
    """Looks at the ledger. Every method raises LedgerUnavailable when it cannot be asked."""

    def __init__(self, engine: Engine) -> None:
        """Connect to nothing yet."""
        self._engine = engine

    def mark(self, now: datetime) -> Mark:
        """The newest rows of this moment."""
        with reading(self._engine) as session:
            ids = (Instance.id, Study.id, Analysis.id)
            return Mark(now, *(session.scalar(select(func.max(one))) or 0 for one in ids))

    def stored(self) -> tuple[int, int]:
        """(instances, bytes) that the spool should hold. Counts all rows: once per process."""
        with reading(self._engine) as session:
            found = session.execute(select(func.count(Instance.id), func.sum(Instance.size))).one()
            return found[0], int(found[1] or 0)

    def screened(self) -> int:
        """Studies in state SCREENED: grows with the ledger, so ask rarely."""
        with reading(self._engine) as session:
            wanted = select(func.count()).where(Study.state == StudyState.SCREENED)
            return session.scalar(wanted) or 0

    def between(self, after: Mark, until: Mark) -> Happened:
        """What happened after one mark and up to the other."""
        with reading(self._engine) as session:
            new = select(func.count(Instance.id), func.sum(Instance.size))
            fresh = session.execute(new.where(_within(Instance.id, after.instance, until.instance)))
            instances, size = fresh.one()
            studies = select(func.count()).where(_within(Study.id, after.study, until.study))
            return Happened(
                instances=instances,
                instance_bytes=int(size or 0),
                studies=session.scalar(studies) or 0,
                concluded=tuple(
                    _concluded(*row)
                    for row in session.execute(_conclusions(after.analysis, until.analysis))
                ),
                concluded_to_sent_s=tuple(
                    (destination, _seconds(made_at, sent_at))
                    for destination, made_at, sent_at in session.execute(_sent(after.at, until.at))
                ),
                received_to_opened_s=tuple(
                    _seconds(received_at, opened_at)
                    for received_at, opened_at in session.execute(_opened(after.at, until.at))
                ),
            )

    def standing(self, now: datetime, completed_within: timedelta, quiet: timedelta) -> Standing:
        """How things stand; `quiet` is the time without an instance that makes a study ready."""
        with reading(self._engine) as session:
            waiting = Study.state.in_(_WAITING)
            sweeps = select(func.count(Sweep.id), func.min(Sweep.advanced_at))
            running, advanced_at = session.execute(
                sweeps.where(Sweep.state == SweepState.RUNNING)
            ).one()
            return Standing(
                studies=_studies(session),
                oldest_waiting_since=session.scalar(
                    select(func.min(Study.ready_at)).where(waiting, came_by_itself(Study.sweep_id))
                ),
                oldest_undispatched_since=_undispatched(session, quiet),
                triage_completed=_completed_since(session, now - completed_within),
                deliveries=_deliveries(session),
                circuits_open_since={
                    circuit.destination: circuit.opened_at
                    for circuit in session.scalars(select(Circuit))
                    if circuit.opened_at is not None
                },
                sweeps_running=running,
                sweep_advanced_at=advanced_at,
                identity_conflicts=session.scalar(
                    select(func.count(Analysis.id)).where(
                        Analysis.superseded_at.is_(None), Analysis.identity_conflict
                    )
                )
                or 0,
            )


def _within(column: Any, after: Any, until: Any) -> ColumnElement[bool]:  # Any: numbers or times
    return and_(column > after, column <= until)


def _conclusions(
    after: int, until: int
) -> Select[Outcome, int | None, int, datetime, int, datetime, datetime | None]:
    return (
        select(
            Analysis.outcome,
            Analysis.sweep_id,
            Analysis.revision,
            Analysis.finished_at,
            Study.revision,
            Study.received_at,
            Study.ready_at,
        )
        .join(Study, Study.id == Analysis.study_id)
        .where(_within(Analysis.id, after, until))
    )


def _concluded(
    outcome: Outcome,
    sweep_id: int | None,
    revision: int,
    finished_at: datetime,
    newest_revision: int,
    received_at: datetime,
    ready_at: datetime | None,
) -> Concluded:
    timed = sweep_id is None and revision == newest_revision and ready_at is not None
    return Concluded(
        outcome,
        sweep_id is not None,
        _seconds(received_at, ready_at) if timed and ready_at and revision == 1 else None,
        _seconds(ready_at, finished_at) if timed and ready_at else None,
    )


def _sent(after: datetime, until: datetime) -> Select[str, datetime, datetime | None]:
    return (
        select(Delivery.destination, ResultObject.created_at, Delivery.sent_at)
        .join(ResultObject, ResultObject.id == Delivery.result_object_id)
        .where(_within(Delivery.sent_at, after, until))
    )


def _opened(after: datetime, until: datetime) -> Select[datetime, datetime]:
    return (
        select(Study.received_at, StudyOpening.opened_at)
        .join(Study, Study.id == StudyOpening.study_id)
        .where(
            _within(StudyOpening.opened_at, after, until),
            StudyOpening.revision == 1,
            Study.sweep_id.is_(None),
        )
    )


def _studies(session: Session) -> dict[StudyState, int]:
    states = (*_UNDER_WAY, StudyState.FAILED)
    counted = session.execute(
        select(Study.state, func.count()).where(Study.state.in_(states)).group_by(Study.state)
    )
    return dict.fromkeys(states, 0) | {row[0]: row[1] for row in counted}


def _undispatched(session: Session, quiet: timedelta) -> datetime | None:
    triage = came_by_itself(Study.sweep_id)
    silent = session.scalar(
        select(func.min(Study.last_instance_at)).where(Study.state == StudyState.RECEIVING, triage)
    )
    ready = session.scalar(
        select(func.min(Study.ready_at)).where(Study.state == StudyState.READY, triage)
    )
    return min((one for one in (silent and silent + quiet, ready) if one), default=None)


def _completed_since(session: Session, since: datetime) -> bool:
    wanted = select(Analysis.id).where(
        Analysis.superseded_at.is_(None),
        Analysis.finished_at > since,
        came_by_itself(Analysis.sweep_id),
    )
    return session.scalar(wanted.limit(1)) is not None


def _deliveries(session: Session) -> dict[tuple[str, DeliveryState], int]:
    unconfirmed = (Delivery.state == DeliveryState.SENT) & Delivery.confirm_at.is_not(None)
    counted = session.execute(
        select(Delivery.destination, Delivery.state, func.count())
        .where(or_(Delivery.state.in_(_OPEN), unconfirmed))
        .group_by(Delivery.destination, Delivery.state)
    )
    return {(row[0], row[1]): row[2] for row in counted}


def _seconds(first: datetime, last: datetime | None) -> float:
    """Not below 0: the clocks of two machines may differ."""
    return 0.0 if last is None else max(0.0, (last - first).total_seconds())
