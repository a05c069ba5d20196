"""`Worklist`: what readers see of the ledger, and the note that somebody looked.

How pages are found stands in `worklist_pages`, what is known of one study in `worklist_detail`.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import postgresql, sqlite

from db.session import reading, transaction
from db.tables import Analysis, Study, StudyOpening
from db.worklist_detail import study_detail
from db.worklist_pages import (
    count_outcomes,
    models_in_force,
    stated_body_parts,
    waiting,
    worklist_page,
)
from db.worklist_records import (
    NewConclusion,
    Position,
    StudyDetail,
    WorklistChoices,
    WorklistCounts,
    WorklistFilter,
    WorklistPage,
)


class Worklist:
    """Reads studies for people. Errors and clock as in `Ledger`; no writer waits for a read."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def page(
        self, wanted: WorklistFilter, start: Position | None = None, *, backwards: bool = False
    ) -> WorklistPage:
        """Up to PAGE_SIZE studies after `start`, or before it; newest first either way."""
        with reading(self._engine) as session:
            return worklist_page(session, wanted, start, backwards=backwards)

    def counts(self) -> WorklistCounts:
        """How many studies of each kind there are."""
        with reading(self._engine) as session:
            unconcluded = session.scalar(select(func.count(Study.id)).where(waiting()))
            return WorklistCounts(count_outcomes(session), unconcluded or 0)

    def choices(self) -> WorklistChoices:
        """What there is to filter by."""
        with reading(self._engine) as session:
            stated = stated_body_parts(session)
            parts = {part for text in stated for part in text.split(", ") if part}
            return WorklistChoices(tuple(sorted(parts)), tuple(models_in_force(session)))

    def study(self, study_instance_uid: str) -> StudyDetail | None:
        """All about one study; None: it is not known."""
        with reading(self._engine) as session:
            return study_detail(session, study_instance_uid)

    def note_opened(self, study_id: int, revision: int) -> bool:
        """Somebody looks at what this revision's analysis says; True: the first to do so."""
        key = {"study_id": study_id, "revision": revision}
        with reading(self._engine) as session:
            if session.get(StudyOpening, tuple(key.values())) is not None:
                return False
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        once = insert(StudyOpening).values(opened_at=self._clock(), **key)
        with transaction(self._engine) as session:
            added = session.scalars(
                once.on_conflict_do_nothing().returning(StudyOpening.study_id)
            ).all()
        return bool(added)

    def latest_analysis_id(self) -> int:
        """Of the analysis recorded last; 0: there is none."""
        with reading(self._engine) as session:
            return session.scalar(select(func.max(Analysis.id))) or 0

    def latest_conclusions(self, limit: int = 200) -> list[NewConclusion]:
        """The analyses that were recorded last, latest first."""
        latest = select(Analysis.id, Analysis.outcome, Analysis.sweep_id)
        with reading(self._engine) as session:
            rows = session.execute(latest.order_by(Analysis.id.desc()).limit(limit))
            return [
                NewConclusion(row_id, outcome, sweep is not None) for row_id, outcome, sweep in rows
            ]
