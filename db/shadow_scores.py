"""`ShadowScores`: what a shadow says beside the champion. Nothing here is ever delivered."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, func, select

from db.session import transaction
from db.states import StudyState
from db.tables import Analysis, Instance, ShadowScore, Study


@dataclass(frozen=True, slots=True)
class NewShadowScore:
    """One frame, as both models see it; probabilities calibrated, in [0, 1]."""

    sop_instance_uid: str
    frame_number: int
    body_part_examined: str
    probability: float
    operating_point: str
    """The highest one reached: "specific", "sensitive" or "" for none."""
    champion_digest: str
    champion_probability: float
    champion_operating_point: str


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """A recorded score with where its radiograph stands."""

    study_instance_uid: str
    score: NewShadowScore
    scored_at: datetime
    path: str
    """Of the instance's file, relative to the data folder."""
    sha256: str


@dataclass(frozen=True, slots=True)
class ShadowCoverage:
    """How many of the studies that were concluded meanwhile the shadow saw."""

    scored: int
    concluded: int


class ShadowScores:
    """The scores of all shadows. Errors and clock as in `Ledger`."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def others_wait(self) -> bool:
        """Whether some study waits for a worker: it goes before any shadow."""
        waiting = select(Study.id).where(Study.state.in_((StudyState.READY, StudyState.QUEUED)))
        with transaction(self._engine) as session:
            return session.scalar(waiting.limit(1)) is not None

    def record(self, model_id: int, study_id: int, scores: Sequence[NewShadowScore]) -> None:
        """Store a study's scores in place of those that this model gave it before."""
        now = self._clock()
        with transaction(self._engine) as session:
            session.execute(
                delete(ShadowScore).where(
                    ShadowScore.model_id == model_id, ShadowScore.study_id == study_id
                )
            )
            session.add_all(
                ShadowScore(model_id=model_id, study_id=study_id, scored_at=now, **asdict(one))
                for one in scores
            )

    def pairs(self, model_id: int) -> list[ShadowPair]:
        """All scores of a model, in the order in which they were made."""
        wanted = (
            select(ShadowScore, Study.study_instance_uid, Instance.path, Instance.sha256)
            .join(Study, Study.id == ShadowScore.study_id)
            .join(Instance, Instance.sop_instance_uid == ShadowScore.sop_instance_uid)
            .where(ShadowScore.model_id == model_id)
            .order_by(ShadowScore.id)
        )
        with transaction(self._engine) as session:
            return [
                ShadowPair(study, _score(row), row.scored_at, path, sha256)
                for row, study, path, sha256 in session.execute(wanted)
            ]

    def coverage(self, model_id: int) -> ShadowCoverage:
        """Studies scored, and studies concluded with a model between first and last score."""
        of_model = ShadowScore.model_id == model_id
        span = select(
            func.count(ShadowScore.study_id.distinct()),
            func.min(ShadowScore.scored_at),
            func.max(ShadowScore.scored_at),
        ).where(of_model)
        with transaction(self._engine) as session:
            scored, first, last = session.execute(span).one()
            if not scored:
                return ShadowCoverage(0, 0)
            scored_ids = select(ShadowScore.study_id).where(of_model)
            concluded = session.scalar(
                select(func.count(Analysis.study_id.distinct())).where(
                    Analysis.probability.is_not(None),
                    Analysis.finished_at.between(first, last) | Analysis.study_id.in_(scored_ids),
                )
            )
        return ShadowCoverage(scored, concluded or 0)


def _score(row: ShadowScore) -> NewShadowScore:
    return NewShadowScore(**{name: getattr(row, name) for name in NewShadowScore.__slots__})
