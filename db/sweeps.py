"""`Sweeps`: backlog runs, the studies that they find, and what became of each."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from db import known_studies
from db.audit import record_event
from db.errors import SweepRefused
from db.session import transaction
from db.states import (
    CONCLUDED,
    LEGAL_SWEEP_MOVES,
    StudyState,
    SweepState,
    SweepStudyState,
)
from db.sweep_records import (
    Candidate,
    KnownStudy,
    NewSweep,
    SweepItem,
    SweepRecord,
    SweepTally,
    SweptStudy,
)
from db.sweep_results import swept_page, tally
from db.tables import Analysis, Instance, Study, Sweep, SweepStudy
from db.transitions import NEXT_REVISION, move_studies

_PAGE = 500


class Sweeps:
    """All backlog runs. Errors and clock as in `Ledger`."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    # The run

    def begin(self, new: NewSweep) -> SweepRecord | None:
        """Begin a run; None if the schedule has begun its own of that night already."""
        now = self._clock()
        with transaction(self._engine) as session:
            if new.schedule is not None and _of_night(session, new.schedule, new.night):
                return None
            row = Sweep(
                schedule=new.schedule,
                night=new.night,
                source=new.source,
                folder=new.folder,
                selection=dict(new.selection),
                state=SweepState.RUNNING,
                actor=new.actor[:255],
                created_at=now,
                advanced_at=now,
            )
            session.add(row)
            session.flush()
            details = {"source": new.source, "schedule": new.schedule or ""}
            record_event(session, new.actor, "sweep begun", f"sweep {row.id}", details, now)
            return _record(row)

    def find(self, sweep_id: int) -> SweepRecord | None:
        """One run; None if there is none of this number."""
        with transaction(self._engine) as session:
            row = session.get(Sweep, sweep_id)
            return None if row is None else _record(row)

    def latest(self, limit: int) -> list[SweepRecord]:
        """The last runs, newest first."""
        newest = select(Sweep).order_by(Sweep.id.desc()).limit(limit)
        with transaction(self._engine) as session:
            return [_record(row) for row in session.scalars(newest)]

    def move(self, sweep_id: int, target: SweepState, actor: str, remark: str = "") -> SweepRecord:
        """Pause, resume or cancel a run.

        Raises:
            SweepRefused: it is not known, or its state does not allow it.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            row = session.get(Sweep, sweep_id, with_for_update=True)
            if row is None:
                raise SweepRefused(f"there is no sweep {sweep_id}; `sweep status` lists them")
            if target not in LEGAL_SWEEP_MOVES[row.state]:
                raise SweepRefused(f"sweep {sweep_id} is {row.state} and cannot become {target}")
            row.state, row.remark = target, remark
            if not LEGAL_SWEEP_MOVES[target]:
                row.finished_at = now
            record_event(session, actor, f"sweep {target.lower()}", f"sweep {sweep_id}", {}, now)
            return _record(row)

    def claim(self, owner: str, lease: timedelta) -> SweepRecord | None:
        """The right to advance the RUNNING sweep that waited longest; None: there is none free."""
        now = self._clock()
        free = or_(Sweep.lease_expires_at.is_(None), Sweep.lease_expires_at <= now)
        longest = (
            select(Sweep)
            .where(Sweep.state == SweepState.RUNNING, free)
            .order_by(Sweep.advanced_at, Sweep.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with transaction(self._engine) as session:
            row = session.scalar(longest)
            if row is None:
                return None
            row.lease_owner, row.lease_expires_at, row.advanced_at = owner, now + lease, now
            return _record(row)

    def hold(self, sweep_id: int, owner: str, lease: timedelta) -> bool:
        """Prolong the lease; False: it went to another, or the run is not RUNNING any more."""
        held = (
            update(Sweep)
            .where(
                Sweep.id == sweep_id,
                Sweep.state == SweepState.RUNNING,
                Sweep.lease_owner == owner,
            )
            .values(lease_expires_at=self._clock() + lease)
            .returning(Sweep.id)
        )
        with transaction(self._engine) as session:
            return session.scalar(held) is not None

    def release(self, sweep_id: int, owner: str, remark: str = "") -> None:
        """End the lease and say why the run waits; "": it does not."""
        with transaction(self._engine) as session:
            session.execute(
                update(Sweep)
                .where(Sweep.id == sweep_id, Sweep.lease_owner == owner)
                .values(
                    lease_owner=None,
                    lease_expires_at=None,
                    remark=remark,
                    advanced_at=self._clock(),
                )
            )

    def finish_if_done(self, sweep_id: int) -> bool:
        """Make it FINISHED if all is found and seen to."""
        open_states = (SweepStudyState.FOUND, SweepStudyState.FETCHING)
        with transaction(self._engine) as session:
            row = session.get_one(Sweep, sweep_id, with_for_update=True)
            waiting = select(SweepStudy.id).where(
                SweepStudy.sweep_id == sweep_id, SweepStudy.state.in_(open_states)
            )
            if row.state is not SweepState.RUNNING or not row.searched:
                return False
            if session.scalar(waiting.limit(1)) is not None:
                return False
            row.state, row.finished_at, row.remark = SweepState.FINISHED, self._clock(), ""
            return True

    def to_report(self, window_closed_at: datetime | None) -> list[int]:
        """Sweeps that have something to report that is in no report yet.

        Those that are FINISHED with all they took concluded; and of the RUNNING ones, those that
        took something in the window that closed at `window_closed_at` (None: it is open).
        """
        under_way = (
            select(Study.id)
            .where(
                Study.sweep_id == Sweep.id,
                Study.state.not_in(CONCLUDED),
            )
            .exists()
        )
        done = and_(
            Sweep.state == SweepState.FINISHED,
            Sweep.reported_at.is_(None),
            Sweep.purged_at.is_(None),
            ~under_way,
        )
        news = (
            select(SweepStudy.id)
            .where(
                SweepStudy.sweep_id == Sweep.id,
                SweepStudy.taken_at.is_not(None),
                or_(Sweep.reported_at.is_(None), SweepStudy.taken_at > Sweep.reported_at),
            )
            .exists()
        )
        due = done
        if window_closed_at is not None:
            not_since = func.coalesce(Sweep.reported_at, Sweep.created_at) < window_closed_at
            due = or_(done, and_(Sweep.state == SweepState.RUNNING, not_since, news, ~under_way))
        with transaction(self._engine) as session:
            return list(session.scalars(select(Sweep.id).where(due).order_by(Sweep.id)))

    def record_report(self, sweep_id: int) -> None:
        """Its report is written now. One that is FINISHED is not due again."""
        with transaction(self._engine) as session:
            session.get_one(Sweep, sweep_id).reported_at = self._clock()

    # Its studies

    def record_search(
        self, sweep_id: int, candidates: Sequence[Candidate], cursor: str, *, searched: bool
    ) -> None:
        """Add what a step of the search found, and how far it has come, in one transaction."""
        now = self._clock()
        by_uid = {one.study_instance_uid: one for one in candidates}
        with transaction(self._engine) as session:
            row = session.get_one(Sweep, sweep_id, with_for_update=True)
            known = session.scalars(
                select(SweepStudy.study_instance_uid).where(
                    SweepStudy.sweep_id == sweep_id,
                    SweepStudy.study_instance_uid.in_(by_uid),
                )
            )
            for uid in known.all():
                del by_uid[uid]
            session.add_all(_new_study(sweep_id, one, now) for one in by_uid.values())
            row.cursor, row.searched = cursor, searched

    def to_see_to(self, sweep_id: int, limit: int) -> list[SweepItem]:
        """Up to `limit` studies whose turn it is: found, to be tried again, or left by a crash.

        For the holder of the lease, between two rounds: what is FETCHING then is nobody's.
        """
        due = and_(
            SweepStudy.state == SweepStudyState.FOUND,
            SweepStudy.next_attempt_at <= self._clock(),
        )
        turn = (
            select(SweepStudy)
            .where(
                SweepStudy.sweep_id == sweep_id,
                or_(due, SweepStudy.state == SweepStudyState.FETCHING),
            )
            .order_by(SweepStudy.attempts, SweepStudy.id)
            .limit(limit)
        )
        with transaction(self._engine) as session:
            return [
                SweepItem(row.id, row.study_instance_uid, row.attempts)
                for row in session.scalars(turn)
            ]

    def next_turn(self, sweep_id: int) -> datetime | None:
        """When the next of its studies is to be tried; None: nothing is open."""
        first = select(func.min(SweepStudy.next_attempt_at)).where(
            SweepStudy.sweep_id == sweep_id, SweepStudy.state == SweepStudyState.FOUND
        )
        with transaction(self._engine) as session:
            return session.scalar(first)

    def exclude(self, item_id: int, reason: str) -> None:
        """Not for this sweep."""
        self._change(item_id, state=SweepStudyState.EXCLUDED, reason=reason)

    def note_report(self, item_id: int, *, reported: bool) -> None:
        """Whether the source has a report of the study that is not ours."""
        self._change(item_id, reported=reported)

    def begin_files(self, sweep_id: int, study_instance_uid: str, until: datetime) -> int:
        """Files of a study are taken in now, once more perhaps; the study's number here."""
        with transaction(self._engine) as session:
            item = session.scalar(_item(sweep_id, study_instance_uid).with_for_update())
            if item is None:
                item = _new_study(sweep_id, Candidate(study_instance_uid), self._clock())
                session.add(item)
            item.state, item.reason, item.next_attempt_at = SweepStudyState.FETCHING, "", until
            session.flush()
            return item.id

    def begin_fetch(self, item_id: int, expected: int, until: datetime) -> None:
        """Asked for now: what arrives of it before `until` belongs to the sweep."""
        self._change(
            item_id,
            state=SweepStudyState.FETCHING,
            reason="",
            expected=expected,
            next_attempt_at=until,
            attempts=SweepStudy.attempts + 1,
        )

    def retry(self, item_id: int, reason: str, at: datetime) -> None:
        """Not all of it could be had: once more at a time to come."""
        self._change(item_id, state=SweepStudyState.FOUND, reason=reason, next_attempt_at=at)

    def end_fetch(
        self, item_id: int, arrived: int, missing: str = "", expected: int | None = None
    ) -> None:
        """TAKEN, or MISSING with the reason why it will not be tried again.

        Args:
            arrived: instances of the study that are here now, of those that are wanted.
            expected: how many are wanted; None: as `begin_fetch` said.
        """
        state = SweepStudyState.MISSING if missing else SweepStudyState.TAKEN
        with transaction(self._engine) as session:
            item = session.get_one(SweepStudy, item_id, with_for_update=True)
            item.state, item.reason, item.arrived = state, missing, arrived
            item.expected = item.expected if expected is None else expected
            this_study = Study.study_instance_uid == item.study_instance_uid
            if session.scalar(select(Study.sweep_id).where(this_study)) == item.sweep_id:
                item.taken_at = self._clock()
                _keep_previous(session, item)

    def screen_again(self, item_id: int) -> bool:
        """Make a study that the ledger has READY, as the sweep's.

        False: it is not at rest, or files of it were purged.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            item = session.get_one(SweepStudy, item_id, with_for_update=True)
            this_study = Study.study_instance_uid == item.study_instance_uid
            study = session.scalar(select(Study).where(this_study).with_for_update())
            if study is None or study.state not in CONCLUDED or _is_purged(session, study.id):
                return False
            move_studies(
                session,
                study.state,
                StudyState.READY,
                now,
                this_study,
                ready_at=now,
                sweep_id=item.sweep_id,
                **NEXT_REVISION,
            )
            item.state, item.reason, item.taken_at = SweepStudyState.TAKEN, "", now
            _keep_previous(session, item)
            return True

    def taken_since(self, source: str, since: datetime) -> int:
        """How many studies the sweeps of a source took since then."""
        wanted = (
            select(func.count())
            .select_from(SweepStudy)
            .join(Sweep, Sweep.id == SweepStudy.sweep_id)
            .where(Sweep.source == source, SweepStudy.taken_at > since)
        )
        with transaction(self._engine) as session:
            return session.scalar(wanted) or 0

    def under_way(self) -> int:
        """How many studies of all sweeps are fetched and not concluded."""
        with transaction(self._engine) as session:
            return known_studies.under_way(session)

    def concluded(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """Up to `limit` concluded studies whose number is above `after`: number and UID."""
        with transaction(self._engine) as session:
            return known_studies.concluded(session, after, limit)

    def paths(self, study_instance_uid: str) -> list[str]:
        """Of its instances' files, relative to the data folder."""
        with transaction(self._engine) as session:
            return known_studies.paths(session, study_instance_uid)

    def known(self, study_instance_uid: str) -> KnownStudy | None:
        """What the ledger has of a study; None: nothing."""
        with transaction(self._engine) as session:
            return known_studies.known_study(session, study_instance_uid)

    def own_series(self, study_instance_uid: str) -> frozenset[str]:
        """Series Instance UIDs of our own results in a study."""
        with transaction(self._engine) as session:
            return known_studies.own_series(session, study_instance_uid)

    # What came of it

    def tally(self, sweep_id: int) -> SweepTally:
        """Count everything."""
        with transaction(self._engine) as session:
            return tally(session, sweep_id)

    def swept(self, sweep_id: int) -> Iterator[SweptStudy]:
        """Every study that it found, in that order, in many short transactions."""
        after = 0
        while True:
            with transaction(self._engine) as session:
                page = swept_page(session, sweep_id, after, _PAGE)
            if not page:
                return
            yield from (line for _, line in page)
            after = page[-1][0]

    def line(self, sweep_id: int, study_instance_uid: str) -> SweptStudy | None:
        """One study's line; None: the sweep did not find it."""
        with transaction(self._engine) as session:
            item = session.scalar(_item(sweep_id, study_instance_uid))
            if item is None:
                return None
            ((_, line),) = swept_page(session, sweep_id, item.id - 1, 1)
            return line

    def _change(self, item_id: int, **values: object) -> None:
        with transaction(self._engine) as session:
            session.execute(update(SweepStudy).where(SweepStudy.id == item_id).values(**values))


def _of_night(session: Session, schedule: str, night: date | None) -> bool:
    found = select(Sweep.id).where(Sweep.schedule == schedule, Sweep.night == night)
    return session.scalar(found) is not None


def _record(row: Sweep) -> SweepRecord:
    return SweepRecord(**{name: getattr(row, name) for name in SweepRecord.__slots__})


def _is_purged(session: Session, study_id: int) -> bool:
    gone = select(Instance.id).where(Instance.study_id == study_id, Instance.purged_at.is_not(None))
    return session.scalar(gone.limit(1)) is not None


def _new_study(sweep_id: int, candidate: Candidate, now: datetime) -> SweepStudy:
    state = SweepStudyState.EXCLUDED if candidate.excluded else SweepStudyState.FOUND
    return SweepStudy(
        sweep_id=sweep_id,
        study_instance_uid=candidate.study_instance_uid,
        state=state,
        reason=candidate.excluded,
        next_attempt_at=now,
    )


def _item(sweep_id: int, study_instance_uid: str) -> Select[SweepStudy]:
    return select(SweepStudy).where(
        SweepStudy.sweep_id == sweep_id, SweepStudy.study_instance_uid == study_instance_uid
    )


def _current(study_instance_uid: str) -> ColumnElement[bool]:
    return and_(
        Study.study_instance_uid == study_instance_uid,
        Analysis.study_id == Study.id,
        Analysis.superseded_at.is_(None),
    )


def _keep_previous(session: Session, item: SweepStudy) -> None:
    """What an earlier analysis said; that of this very sweep is no earlier one."""
    row = session.scalar(select(Analysis).join(Study).where(_current(item.study_instance_uid)))
    if row is not None and row.sweep_id != item.sweep_id and item.previous_outcome is None:
        item.previous_outcome, item.previous_probability = row.outcome, row.probability
