"""Keyset pages of the worklist: index scans from a position on, never counted, never skipped.

Studies with and without outcome, and those of each outcome, stand in indexes of their own; a page
is merged from the first rows of each.
"""

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    exists,
    func,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.columns import came_by_itself
from db.outcomes import Outcome
from db.states import StudyState
from db.study_headers import fold
from db.tables import Analysis, Review, Study, StudyHeader, StudyOpening
from db.worklist_records import (
    PAGE_SIZE,
    ModelLabel,
    PatientHeader,
    Position,
    Verdict,
    WorklistFilter,
    WorklistLine,
    WorklistPage,
)

NOT_CONCLUDED = (
    StudyState.RECEIVING,
    StudyState.READY,
    StudyState.QUEUED,
    StudyState.SCREENING,
)
"""States that a study without any outcome may be in."""

_FEW = 1000
_LAST_CHARACTER = "\U0010ffff"

_Conditions = list[ColumnElement[bool]]


def worklist_page(
    session: Session, wanted: WorklistFilter, start: Position | None, *, backwards: bool = False
) -> WorklistPage:
    """The studies after `start` (None: from the first on), or those before it."""
    narrowing = _narrowing(session, wanted)
    found = _positions(session, wanted, narrowing, start, backwards=backwards)
    more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    if backwards and not more:
        # The first page is always full, with what came in the meantime.
        return worklist_page(session, wanted, None)
    found.sort(reverse=True)
    return WorklistPage(
        lines=_lines(session, found),
        newer=found[0] if found and (more if backwards else start is not None) else None,
        older=found[-1] if found and (backwards or more) else None,
    )


def waiting() -> ColumnElement[bool]:
    """That a study has no outcome yet."""
    concluded = exists().where(Analysis.study_id == Study.id, Analysis.superseded_at.is_(None))
    return Study.state.in_(NOT_CONCLUDED) & ~concluded


def stated_body_parts(session: Session) -> Sequence[str]:
    """Every value of study_header.body_parts, by jumps along its index."""
    column = StudyHeader.body_parts
    found = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.value).scalar_subquery()
    jumps = found.union_all(select(following).where(found.c.value.is_not(None)))
    return session.scalars(select(jumps.c.value).where(jumps.c.value.is_not(None))).all()


def models_in_force(session: Session) -> list[ModelLabel]:
    """Of all current analyses, by jumps along the index; those that broke have none."""
    columns = (Analysis.model_name, Analysis.model_version)
    labels = [ModelLabel("", "")]
    while True:
        following = (
            select(*columns)
            .where(Analysis.superseded_at.is_(None))
            .where(tuple_(*columns) > tuple_(labels[-1].name, labels[-1].version))
            .order_by(*columns)
            .limit(1)
        )
        row = session.execute(following).first()
        if row is None:
            return labels[1:]
        labels.append(ModelLabel(*row))


def starts_with(
    session: Session, column: SQLColumnExpression[str], prefix: str
) -> ColumnElement[bool]:
    """That a text begins so, in the form that each database's index serves."""
    if _is_postgresql(session):
        escaped = prefix.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        return column.like(escaped + "%")
    return (column >= prefix) & (column < prefix + _LAST_CHARACTER)


def _narrowing(session: Session, wanted: WorklistFilter) -> _Conditions:
    """Conditions on the study's row and header, as a list of ids where only a few meet them."""
    conditions = []
    if wanted.body_part:
        conditions.append(_of_body_part(session, wanted.body_part))
    if wanted.search:
        conditions.append(_found(session, wanted.search))
    return conditions


def _of_body_part(session: Session, body_part: str) -> ColumnElement[bool]:
    combined = [text for text in stated_body_parts(session) if body_part in text.split(", ")]
    few = _few(session, select(StudyHeader.study_id).where(StudyHeader.body_parts.in_(combined)))
    if few is None:
        return _past_its_index(session, StudyHeader.body_parts).in_(combined)
    return Study.id.in_(few)


def _found(session: Session, search: str) -> ColumnElement[bool]:
    beginnings = _beginnings(search.strip())
    matching = [
        select(column.class_.id if column.class_ is Study else StudyHeader.study_id).where(
            starts_with(session, column, beginning)
        )
        for column, beginning in beginnings
    ]
    ids = union_all(*matching).subquery()
    few = _few(session, select(ids.c[0]))
    if few is not None:
        return Study.id.in_(few)
    return or_(
        *(
            starts_with(session, _past_its_index(session, column), beginning)
            for column, beginning in beginnings
        )
    )


def _beginnings(text: str) -> list[tuple[InstrumentedAttribute[str], str]]:
    identifiers = (StudyHeader.patient_id, StudyHeader.accession_number)
    return [
        (StudyHeader.patient_name_folded, fold(text)),
        *((column, one) for column in identifiers for one in sorted({text, text.upper()})),
        (Study.study_instance_uid, text),
    ]


def _past_its_index(session: Session, column: SQLColumnExpression[str]) -> SQLColumnExpression[str]:
    """Many rows match: SQLite, which keeps no statistics, would take the index and sort them."""
    return column if _is_postgresql(session) else func.coalesce(column, "")


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _few(session: Session, matching: Select[int]) -> Sequence[int] | None:
    """None: there are many, so that walking along the page's order soon meets enough of them."""
    ids = session.scalars(matching.limit(_FEW + 1)).all()
    return ids if len(ids) <= _FEW else None


def _positions(
    session: Session,
    wanted: WorklistFilter,
    narrowing: _Conditions,
    start: Position | None,
    *,
    backwards: bool,
) -> list[Position]:
    """One more than a page holds, in the order of walking."""
    walks: list[Iterable[Position]] = []
    outcomes = wanted.wanted_outcomes
    for outcome in [None] if outcomes == frozenset(Outcome) else sorted(outcomes):
        conditions = _conditions_on_analysis(wanted, outcome)
        statement = _narrowed(_concluded(start, backwards=backwards), narrowing, Analysis.study_id)
        rows = session.execute(statement.where(*conditions).limit(PAGE_SIZE + 1))
        walks.append([Position(moment, True, row_id) for moment, row_id in rows])
    if wanted.wants_waiting:
        statement = _narrowed(_unconcluded(start, backwards=backwards), narrowing, Study.id)
        rows = session.execute(
            statement.where(*_conditions_on_waiting(wanted)).limit(PAGE_SIZE + 1)
        )
        walks.append([Position(moment, False, row_id) for moment, row_id in rows])
    merged = heapq.merge(*walks, reverse=not backwards)
    return list(islice(merged, PAGE_SIZE + 1))


def _concluded(start: Position | None, *, backwards: bool) -> Select[datetime, int]:
    statement = select(Analysis.finished_at, Analysis.id).where(Analysis.superseded_at.is_(None))
    return _walk(statement, (Analysis.finished_at, Analysis.id), True, start, backwards)


def _unconcluded(start: Position | None, *, backwards: bool) -> Select[datetime, int]:
    statement = select(Study.received_at, Study.id).where(waiting())
    return _walk(statement, (Study.received_at, Study.id), False, start, backwards)


def _walk(
    statement: Select[datetime, int],
    order: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[int]],
    concluded: bool,
    start: Position | None,
    backwards: bool,
) -> Select[datetime, int]:
    moment, row_id = order
    if start is not None:
        statement = statement.where(_beyond(order, concluded, start, backwards))
    if backwards:
        return statement.order_by(moment, row_id)
    return statement.order_by(moment.desc(), row_id.desc())


def _beyond(
    order: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[int]],
    concluded: bool,
    start: Position,
    backwards: bool,
) -> ColumnElement[bool]:
    """That a row lies beyond `start`; at the same moment, studies that wait come last."""
    moment, row_id = order
    if concluded == start.concluded:
        here = tuple_(moment, row_id)
        there = tuple_(start.moment, start.row_id, types=[moment.type, row_id.type])
        return here > there if backwards else here < there
    if concluded == backwards:
        return moment >= start.moment if backwards else moment <= start.moment
    return moment > start.moment if backwards else moment < start.moment


def _narrowed(
    statement: Select[datetime, int], narrowing: _Conditions, study_id: InstrumentedAttribute[int]
) -> Select[datetime, int]:
    if not narrowing:
        return statement
    if study_id is not Study.id:
        statement = statement.join(Study, Study.id == study_id)
    joined = statement.outerjoin(StudyHeader, StudyHeader.study_id == Study.id)
    return joined.where(*narrowing)


def _conditions_on_analysis(wanted: WorklistFilter, outcome: Outcome | None) -> _Conditions:
    conditions: _Conditions = []
    if outcome is not None:
        conditions.append(Analysis.outcome == outcome)
    if wanted.model is not None:
        conditions.append(Analysis.model_name == wanted.model.name)
        conditions.append(Analysis.model_version == wanted.model.version)
    if wanted.swept is not None:
        by_sweep = Analysis.sweep_id
        conditions.append(by_sweep.is_not(None) if wanted.swept else by_sweep.is_(None))
    return conditions + _in_period(wanted, Analysis.finished_at)


def _conditions_on_waiting(wanted: WorklistFilter) -> _Conditions:
    conditions = _in_period(wanted, Study.received_at)
    if wanted.swept is not None:
        by_itself = came_by_itself(Study.sweep_id)
        conditions.append(~by_itself if wanted.swept else by_itself)
    return conditions


def _in_period(wanted: WorklistFilter, moment: InstrumentedAttribute[datetime]) -> _Conditions:
    conditions: _Conditions = []
    if wanted.since is not None:
        conditions.append(moment >= wanted.since)
    if wanted.until is not None:
        conditions.append(moment < wanted.until)
    return conditions


def _lines(session: Session, positions: Sequence[Position]) -> tuple[WorklistLine, ...]:
    concluded = [one.row_id for one in positions if one.concluded]
    unconcluded = [one.row_id for one in positions if not one.concluded]
    opened = (StudyOpening.study_id == Analysis.study_id) & (
        StudyOpening.revision == Analysis.revision
    )
    reviewed = exists().where(Review.study_id == Study.id, Review.superseded_at.is_(None))
    with_outcome = (
        select(Study, Analysis, StudyHeader, StudyOpening.opened_at, reviewed)
        .join(Analysis, Analysis.study_id == Study.id)
        .outerjoin(StudyHeader, StudyHeader.study_id == Study.id)
        .outerjoin(StudyOpening, opened)
        .where(Analysis.id.in_(concluded))
    )
    without = (
        select(Study, StudyHeader)
        .outerjoin(StudyHeader, StudyHeader.study_id == Study.id)
        .where(Study.id.in_(unconcluded))
    )
    lines: dict[tuple[bool, int], WorklistLine] = {}
    if concluded:
        for study, analysis, header, opened_at, has_review in session.execute(with_outcome):
            line = worklist_line(study, analysis, header, opened_at is not None, has_review)
            lines[True, analysis.id] = line
    if unconcluded:
        for study, header in session.execute(without):
            lines[False, study.id] = worklist_line(study, None, header, False, False)
    return tuple(lines[one.concluded, one.row_id] for one in positions)


def worklist_line(
    study: Study,
    analysis: Analysis | None,
    header: StudyHeader | None,
    opened: bool,
    reviewed: bool,
) -> WorklistLine:
    """A line from its rows."""
    sweep_id = study.sweep_id if analysis is None else analysis.sweep_id
    return WorklistLine(
        study_instance_uid=study.study_instance_uid,
        state=study.state,
        revision=study.revision,
        received_at=study.received_at,
        swept=sweep_id is not None,
        header=None if header is None else patient_header(header),
        verdict=None if analysis is None else verdict(analysis),
        opened=opened,
        reviewed=reviewed,
    )


def patient_header(row: StudyHeader) -> PatientHeader:
    """A header from its row."""
    return PatientHeader(**{name: getattr(row, name) for name in PatientHeader.__slots__})


def verdict(row: Analysis) -> Verdict:
    """What an analysis says, from its row."""
    return Verdict(
        revision=row.revision,
        outcome=row.outcome,
        reason=row.reason,
        probability=row.probability,
        model=ModelLabel(row.model_name, row.model_version),
        finished_at=row.finished_at,
    )


def count_outcomes(session: Session) -> dict[Outcome, int]:
    """Current analyses of each outcome."""
    counted = (
        select(Analysis.outcome, func.count())
        .where(Analysis.superseded_at.is_(None))
        .group_by(Analysis.outcome)
    )
    return dict.fromkeys(Outcome, 0) | dict(session.execute(counted).all())
