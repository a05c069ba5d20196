"""What came of a sweep: its numbers, and a line per study. Reads only."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.outcomes import NOT_WHOLLY_ANALYSED, Outcome
from db.states import SweepStudyState
from db.sweep_records import SweepTally, SweptStudy
from db.tables import Analysis, Study, SweepStudy


def tally(session: Session, sweep_id: int) -> SweepTally:
    """Count everything."""
    of_sweep = SweepStudy.sweep_id == sweep_id
    by_state = select(SweepStudy.state, func.count()).where(of_sweep).group_by(SweepStudy.state)
    states = {row[0]: row[1] for row in session.execute(by_state)}
    taken, instances = session.execute(
        select(func.count(SweepStudy.taken_at), func.sum(SweepStudy.arrived)).where(of_sweep)
    ).one()
    last = select(func.max(Analysis.finished_at)).where(Analysis.sweep_id == sweep_id)
    changes = _concluded(session, sweep_id, SweepStudy.previous_outcome, Analysis.outcome)
    outcomes = dict.fromkeys(Outcome, 0)
    for (_, now), count in changes.items():
        outcomes[now] += count
    silent = Analysis.outcome.in_((*NOT_WHOLLY_ANALYSED, Outcome.FAILED))
    reasons = _concluded(session, sweep_id, Analysis.reason, where=silent)
    return SweepTally(
        studies={state: states.get(state, 0) for state in SweepStudyState},
        exclusions=_reasons(session, sweep_id, SweepStudyState.EXCLUDED),
        missing=_reasons(session, sweep_id, SweepStudyState.MISSING),
        outcomes=outcomes,
        reasons=_most_first({reason: count for (reason,), count in reasons.items()}),
        waiting=taken - sum(outcomes.values()),
        instances=instances or 0,
        changed={key: count for key, count in changes.items() if key[0] is not None},
        last_concluded_at=session.scalar(last),
    )


def swept_page(
    session: Session, sweep_id: int, after: int, limit: int
) -> Sequence[tuple[int, SweptStudy]]:
    """Up to `limit` studies whose number is above `after`, each with its number."""
    rows = session.execute(
        select(SweepStudy, Analysis)
        .outerjoin(Study, Study.study_instance_uid == SweepStudy.study_instance_uid)
        .outerjoin(Analysis, _of_the_sweep())
        .where(SweepStudy.sweep_id == sweep_id, SweepStudy.id > after)
        .order_by(SweepStudy.id)
        .limit(limit)
    )
    return [(item.id, _swept(item, analysis)) for item, analysis in rows]


def _of_the_sweep() -> ColumnElement[bool]:
    """The last analysis that the sweep had made of a study."""
    made = aliased(Analysis)
    last = select(func.max(made.id)).where(
        made.study_id == Study.id, made.sweep_id == SweepStudy.sweep_id
    )
    return Analysis.id == last.scalar_subquery()


def _concluded(
    session: Session,
    sweep_id: int,
    *columns: InstrumentedAttribute[Any],
    where: ColumnElement[bool] | None = None,
) -> dict[tuple[Any, ...], int]:  # Any: whatever the columns hold
    """Values of columns → how many concluded studies have them."""
    rows = session.execute(
        select(*columns, func.count())
        .select_from(SweepStudy)
        .join(Study, Study.study_instance_uid == SweepStudy.study_instance_uid)
        .join(Analysis, _of_the_sweep())
        .where(SweepStudy.sweep_id == sweep_id, true() if where is None else where)
        .group_by(*columns)
    )
    return {tuple(row[:-1]): row[-1] for row in rows}


def _reasons(session: Session, sweep_id: int, state: SweepStudyState) -> dict[str, int]:
    rows = session.execute(
        select(SweepStudy.reason, func.count())
        .where(SweepStudy.sweep_id == sweep_id, SweepStudy.state == state)
        .group_by(SweepStudy.reason)
    )
    return _most_first({row[0]: row[1] for row in rows})


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _swept(item: SweepStudy, analysis: Analysis | None) -> SweptStudy:
    return SweptStudy(
        study_instance_uid=item.study_instance_uid,
        state=item.state,
        reason=item.reason,
        outcome=analysis.outcome if analysis else None,
        outcome_reason=analysis.reason if analysis else "",
        probability=analysis.probability if analysis else None,
        model_version=analysis.model_version if analysis else "",
        previous_outcome=item.previous_outcome,
        previous_probability=item.previous_probability,
        expected=item.expected,
        arrived=item.arrived,
        unflagged_reason=(analysis.unflagged_reason or "") if analysis else "",
    )
