"""What the ledger has of studies, as sweeps look at it. Reads only."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.states import CONCLUDED
from db.sweep_records import KnownStudy
from db.tables import Analysis, Finding, Instance, ResultObject, Study


def known_study(session: Session, study_instance_uid: str) -> KnownStudy | None:
    """What there is of a study; None: nothing."""
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        return None
    instances = session.scalars(
        select(Instance.sop_instance_uid).where(
            Instance.study_id == study.id, Instance.purged_at.is_(None)
        )
    )
    analysis = session.scalar(
        select(Analysis).where(Analysis.study_id == study.id, Analysis.superseded_at.is_(None))
    )
    looked_at: frozenset[str] = frozenset()
    if analysis is not None:
        of_analysis = Finding.analysis_id == analysis.id
        looked_at = frozenset(session.scalars(select(Finding.sop_instance_uid).where(of_analysis)))
    return KnownStudy(
        state=study.state,
        sweep_id=study.sweep_id,
        sop_instance_uids=frozenset(instances),
        model_version=analysis.model_version if analysis else "",
        model_digest=analysis.model_digest if analysis else "",
        outcome=analysis.outcome if analysis else None,
        looked_at=looked_at,
        finished_at=analysis.finished_at if analysis else None,
    )


def own_series(session: Session, study_instance_uid: str) -> frozenset[str]:
    """Series Instance UIDs of our own results in a study."""
    return frozenset(
        session.scalars(
            select(ResultObject.series_instance_uid)
            .join(Study, Study.id == ResultObject.study_id)
            .where(Study.study_instance_uid == study_instance_uid)
            .where(ResultObject.series_instance_uid != "")  # messages have none
        )
    )


def paths(session: Session, study_instance_uid: str) -> list[str]:
    """Of a study's instances, relative to the data folder."""
    return list(
        session.scalars(
            select(Instance.path)
            .join(Study, Study.id == Instance.study_id)
            .where(Study.study_instance_uid == study_instance_uid)
        )
    )


def concluded(session: Session, after: int, limit: int) -> Sequence[tuple[int, str]]:
    """Up to `limit` concluded studies whose number is above `after`: number and UID."""
    page = (
        select(Study.id, Study.study_instance_uid)
        .where(Study.id > after, Study.state.in_(CONCLUDED))
        .order_by(Study.id)
        .limit(limit)
    )
    return [(number, uid) for number, uid in session.execute(page)]


def under_way(session: Session) -> int:
    """How many studies of all sweeps are fetched and not concluded."""
    wanted = select(func.count()).where(Study.sweep_id.is_not(None), Study.state.not_in(CONCLUDED))
    return session.scalar(wanted) or 0
