"""`Retention`: which files and rows are old enough to go, and how they go.

A file goes in two transactions, both under its study's row lock. The first one gives it up: the row
says `purged_at`, `doomed_file` names the path, the audit trail tells. The second one removes the
file. So no row ever says that a file is here which is not, a kill between the two leaves a doomed
file that the next run removes, and whoever needs the study meanwhile (a late instance, a worker)
takes the same lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    ScalarResult,
    Select,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.audit import record_event
from db.session import reading, transaction
from db.states import CONCLUDED, DeliveryState, ModelState, StudyState, SweepState
from db.tables import (
    Analysis,
    Delivery,
    DoomedFile,
    Instance,
    ModelVersion,
    ResultObject,
    Review,
    ShadowScore,
    Study,
    Sweep,
    SweepStudy,
    WebSession,
    analysis_result,
)

PURGED = "purged"
"""Action in the audit trail."""
_STUDIES_AT_ONCE = 20
_ROWS_AT_ONCE = 1000
_OVER = (SweepState.FINISHED, SweepState.CANCELLED)


class Kind(StrEnum):
    """What can be purged, one age for each."""

    INSTANCES = "instances"
    """Files of received instances of studies that are SCREENED."""
    RESULTS = "results"
    """Files of the results in force that every destination has."""
    SUPERSEDED_RESULTS = "superseded results"
    """Files of results of analyses that later ones replaced, delivered or withdrawn."""
    SHADOW_SCORES = "shadow scores"
    """Rows: what a model said as a shadow that is none any more."""
    WEB_SESSIONS = "web sessions"
    """Rows: sign-ins that ended."""
    SWEEP_ROWS = "sweep rows"
    """Rows: the studies of sweeps that are over; the sweep itself stays."""


FILES = (Kind.INSTANCES, Kind.RESULTS, Kind.SUPERSEDED_RESULTS)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is older than `age` goes."""

    kind: Kind
    age: timedelta
    reviewed_too: bool = False
    """Of instances: also those that a review in force names."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a kind; rows that have no file have no `size`."""

    count: int = 0
    size: int = 0
    """Bytes of the files."""

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.count + other.count, self.size + other.size)


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction gave up or deleted, and where the next one begins."""

    amount: Amount
    after: int


class Retention:
    """What goes. Errors and clock as in `Ledger`."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def amount(self, rule: Rule) -> Amount:
        """What would go by a rule now; changes nothing."""
        wanted = _amount(rule, self._clock() - rule.age)
        with reading(self._engine) as session:
            count, size = session.execute(wanted).one()
        return Amount(count, int(size or 0))

    def purge(self, rule: Rule, actor: str, after: int = 0) -> Step | None:
        """A few more of a kind, of studies above number `after`; None: there are none.

        Files are given up; `remove_doomed` removes them.
        """
        now = self._clock()
        before = now - rule.age
        # Looked for outside of the lock that on SQLite keeps every writer waiting.
        with reading(self._engine) as session:
            ids = _candidates(session, rule, before, after) if rule.kind in FILES else []
        if rule.kind in FILES and not ids:
            return None
        with transaction(self._engine) as session:
            if ids:
                done = _give_up_files(session, ids, rule, before, now)
            else:
                done = _delete_rows(session, rule.kind, before, now)
            if done.count:
                told = {"count": done.count, "bytes": done.size, "older_than": before.isoformat()}
                record_event(session, actor, PURGED, rule.kind.value, told, now)
        return Step(done, max(ids)) if ids else Step(done, 0) if done.count else None

    def remove_doomed(self, remove: Callable[[str], None], after: str = "") -> str | None:
        """Have the files of a few doomed paths removed; None: there are none after `after`.

        Returns the last path looked at. `remove` is called under the study's lock, must not mind a
        file that is gone, and may raise OSError: then the path stays doomed.
        """
        first = select(DoomedFile).where(DoomedFile.path > after).order_by(DoomedFile.path)
        with transaction(self._engine) as session:
            doomed = session.scalars(first.limit(_STUDIES_AT_ONCE)).all()
            free = _lock(session, {one.study_id for one in doomed})
            named = _named(session, doomed)
            for one in doomed:
                if one.study_id not in free:
                    continue
                if one.path not in named:
                    remove(one.path)
                session.delete(one)
            return doomed[-1].path if doomed else None


def _lock(session: Session, study_ids: set[int]) -> set[int]:
    """Those that no worker is screening, which may have seen a result's file, to use it again."""
    return set(
        session.scalars(
            select(Study.id)
            .where(Study.id.in_(study_ids), Study.state != StudyState.SCREENING)
            .order_by(Study.id)
            .with_for_update()
        )
    )


def _named(session: Session, doomed: Sequence[DoomedFile]) -> set[str]:
    """Paths of which a row says that the file is here: it came back since it was given up.

    Asked by the study, since paths of results have no index.
    """
    studies, paths = {one.study_id for one in doomed}, [one.path for one in doomed]
    return {
        path
        for table in (Instance, ResultObject)
        for path in session.scalars(
            select(table.path).where(
                table.study_id.in_(studies), table.path.in_(paths), table.purged_at.is_(None)
            )
        )
    }


def _candidates(session: Session, rule: Rule, before: datetime, after: int) -> Sequence[int]:
    table = _table(rule.kind)
    return session.scalars(
        select(Study.id)
        .where(Study.id > after, _has(table, *_conditions(rule, before)))
        .order_by(Study.id)
        .limit(_STUDIES_AT_ONCE)
    ).all()


def _has(
    table: type[Instance] | type[ResultObject], *conditions: ColumnElement[bool]
) -> ColumnElement[bool]:
    return exists().where(table.study_id == Study.id, *conditions).correlate(Study)


def _give_up_files(
    session: Session, ids: Sequence[int], rule: Rule, before: datetime, now: datetime
) -> Amount:
    of_them = Study.id.in_(ids)
    locked = session.scalars(select(Study.id).where(of_them).order_by(Study.id).with_for_update())
    table = _table(rule.kind)
    # Asked again: what was chosen may have changed until the lock was ours.
    chosen = (table.study_id.in_(locked.all()), *_conditions(rule, before))
    found: ScalarResult[Any] = session.scalars(select(table).where(*chosen))  # Any: of two tables
    rows: Sequence[Instance | ResultObject] = found.all()
    for row in rows:
        row.purged_at = now
        session.merge(DoomedFile(path=row.path, study_id=row.study_id, doomed_at=now))
    return Amount(len(rows), sum(row.size for row in rows))


def _delete_rows(session: Session, kind: Kind, before: datetime, now: datetime) -> Amount:
    if kind is Kind.SWEEP_ROWS:
        _close_sweeps(session, before, now)
    key, chosen = _rows(kind, before)
    some = select(key).where(*chosen).limit(_ROWS_AT_ONCE)
    gone = session.scalars(
        delete(key.class_)
        .where(key.in_(some))
        .returning(key)
        .execution_options(synchronize_session=False)
    )
    return Amount(len(gone.all()))


def _rows(
    kind: Kind, before: datetime
) -> tuple[InstrumentedAttribute[Any], Sequence[ColumnElement[bool]]]:  # Any: int or str
    """The key of the table, and what may be deleted there (of sweeps: once they are closed)."""
    if kind is Kind.SHADOW_SCORES:
        return ShadowScore.id, _old_scores(before)
    if kind is Kind.WEB_SESSIONS:
        return WebSession.token_sha256, _old_sessions(before)
    closed = select(Sweep.id).where(Sweep.purged_at.is_not(None))
    return SweepStudy.id, (SweepStudy.sweep_id.in_(closed),)


def _close_sweeps(session: Session, before: datetime, now: datetime) -> None:
    session.execute(
        update(Sweep)
        .where(*_old_sweeps(before))
        .values(purged_at=now)
        .execution_options(synchronize_session=False)
    )


def _amount(rule: Rule, before: datetime) -> Select[int, int]:
    if rule.kind in FILES:
        table = _table(rule.kind)
        return select(func.count(), func.sum(table.size)).where(*_conditions(rule, before))
    key, chosen = _rows(rule.kind, before)
    if rule.kind is Kind.SWEEP_ROWS:
        closing = select(Sweep.id).where(*_old_sweeps(before))
        chosen = (or_(*chosen, SweepStudy.sweep_id.in_(closing)),)
    return select(func.count(key), literal(0)).where(*chosen)


def _table(kind: Kind) -> type[Instance] | type[ResultObject]:
    return Instance if kind is Kind.INSTANCES else ResultObject


def _conditions(rule: Rule, before: datetime) -> Sequence[ColumnElement[bool]]:
    if rule.kind is Kind.INSTANCES:
        return _old_instances(before, rule.reviewed_too)
    if rule.kind is Kind.RESULTS:
        return _old_results(before)
    return _old_superseded(before)


def _old_instances(before: datetime, reviewed_too: bool) -> Sequence[ColumnElement[bool]]:
    undelivered = exists().where(
        ResultObject.study_id == Instance.study_id,
        Delivery.result_object_id == ResultObject.id,
        _is_undelivered(),
    )
    reviewed = exists().where(
        Review.sop_instance_uid == Instance.sop_instance_uid, Review.superseded_at.is_(None)
    )
    return (
        Instance.purged_at.is_(None),
        Instance.received_at <= before,
        _at_rest(Instance, before),
        ~undelivered,
        *(() if reviewed_too else (~reviewed,)),
    )


def _old_results(before: datetime) -> Sequence[ColumnElement[bool]]:
    delivery = Delivery.result_object_id == ResultObject.id
    return (
        ResultObject.purged_at.is_(None),
        _at_rest(ResultObject, before),
        _is_in_force(),
        exists().where(delivery, Delivery.sent_at <= before),
        ~exists().where(delivery, or_(_is_undelivered(), Delivery.sent_at > before)),
    )


def _old_superseded(before: datetime) -> Sequence[ColumnElement[bool]]:
    delivery = Delivery.result_object_id == ResultObject.id
    of_late = exists().where(
        analysis_result.c.result_object_id == ResultObject.id,
        analysis_result.c.analysis_id == Analysis.id,
        Analysis.superseded_at > before,
    )
    return (
        ResultObject.purged_at.is_(None),
        _at_rest(ResultObject, before),
        ~_is_in_force(),
        ~of_late,
        ~exists().where(delivery, _is_undelivered()),
    )


def _at_rest(table: type[Instance] | type[ResultObject], before: datetime) -> ColumnElement[bool]:
    """Its study was SCREENED that long ago, and no sweep that goes on names it.

    FAILED is unfinished: a retry needs the files, and the results before it are the best there are.
    """
    study = aliased(Study)
    named = exists().where(
        SweepStudy.study_instance_uid == study.study_instance_uid,
        Sweep.id == SweepStudy.sweep_id,
        Sweep.state.not_in(_OVER),
    )
    return exists().where(
        study.id == table.study_id,
        study.state == StudyState.SCREENED,
        study.state_changed_at <= before,
        ~named,
    )


def _is_in_force() -> ColumnElement[bool]:
    return exists().where(
        analysis_result.c.result_object_id == ResultObject.id,
        analysis_result.c.analysis_id == Analysis.id,
        Analysis.superseded_at.is_(None),
    )


def _is_undelivered() -> ColumnElement[bool]:
    """Waiting, dead, or sent and not yet confirmed by a destination that is asked."""
    return or_(
        Delivery.state.in_((DeliveryState.PENDING, DeliveryState.FAILED)),
        and_(Delivery.state == DeliveryState.SENT, Delivery.confirm_at.is_not(None)),
    )


def _old_scores(before: datetime) -> Sequence[ColumnElement[bool]]:
    """Not of a model that may yet be promoted by them."""
    done = select(ModelVersion.id).where(
        ModelVersion.state.in_((ModelState.CHAMPION, ModelState.RETIRED))
    )
    return ShadowScore.scored_at <= before, ShadowScore.model_id.in_(done)


def _old_sessions(before: datetime) -> Sequence[ColumnElement[bool]]:
    return (WebSession.expires_at <= before,)


def _old_sweeps(before: datetime) -> Sequence[ColumnElement[bool]]:
    """Over, and nothing that they brought is still to be concluded."""
    under_way = exists().where(Study.sweep_id == Sweep.id, Study.state.not_in(CONCLUDED))
    return (
        Sweep.state.in_(_OVER),
        Sweep.purged_at.is_(None),
        Sweep.finished_at <= before,
        ~under_way,
    )
