"""How good screening was in a period: figures for the quality board. Reads only.

Everything goes by the current analyses of the period, by index; no answer grows with the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select
from sqlalchemy.orm import Session

from db.columns import came_by_itself
from db.outcomes import FLAGGED, NOT_WHOLLY_ANALYSED, Outcome
from db.session import reading
from db.states import ReviewOutcome
from db.tables import Analysis, Finding, Review, Study, StudyOpening, SweepStudy


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Flag:
    """When a study that came by itself was received, flagged, and first opened (None: not yet)."""

    received_at: datetime
    flagged_at: datetime
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReadImage:
    """What a reader says of an image, beside what it is of and which model had spoken."""

    outcome: ReviewOutcome
    body_part_examined: str
    """As the instance states it; "": nothing."""
    model: str
    """Name and version of the analysis that was current when it was read; "": none."""
    flagged: bool
    """Whether that analysis flagged the image."""


@dataclass(frozen=True, slots=True)
class SuspectedMissed:
    """A study that a sweep flagged and nothing before had."""

    study_instance_uid: str
    outcome: Outcome
    probability: float | None
    concluded_at: datetime
    previous_outcome: Outcome | None
    """None: it had not been screened."""
    read_as_fractured: bool | None
    """What readers say since: some image is fractured, or none is; None: nobody has."""


class Quality:
    """Figures of a period. Every method raises LedgerUnavailable when they cannot be had."""

    def __init__(self, engine: Engine) -> None:
        """Connect to nothing yet."""
        self._engine = engine

    def outcomes(self, days: Sequence[Period]) -> list[Mapping[Outcome, int]]:
        """Triage studies by outcome, for each of some days; every outcome is a key."""
        with reading(self._engine) as session:
            return [_outcomes(session, day) for day in days]

    def flags(self, period: Period, limit: int) -> list[Flag]:
        """The last `limit` flags of triage studies, latest first."""
        wanted = (
            select(Study.received_at, Analysis.finished_at, StudyOpening.opened_at)
            .join(Study, Study.id == Analysis.study_id)
            .outerjoin(
                StudyOpening,
                and_(
                    StudyOpening.study_id == Analysis.study_id,
                    StudyOpening.revision == Analysis.revision,
                ),
            )
            .where(
                *_current(period), Analysis.outcome.in_(FLAGGED), came_by_itself(Analysis.sweep_id)
            )
            .where(Analysis.revision == 1)  # a later one is timed from its own late instance
            .order_by(Analysis.finished_at.desc(), Analysis.id.desc())
            .limit(limit)
        )
        with reading(self._engine) as session:
            return [Flag(*row) for row in session.execute(wanted)]

    def read_images(self, period: Period, limit: int) -> list[ReadImage]:
        """The reviews in force that were entered in the period, at most the last `limit`."""
        seen = select(func.max(Analysis.id)).where(
            Analysis.study_id == Review.study_id, Analysis.finished_at <= Review.recorded_at
        )
        wanted = (
            select(
                Review.id,
                Review.outcome,
                Analysis.model_name,
                Analysis.model_version,
                Finding.body_part_examined,
                Finding.operating_point,
            )
            .outerjoin(Analysis, Analysis.id == seen.correlate(Review).scalar_subquery())
            .outerjoin(
                Finding,
                and_(
                    Finding.analysis_id == Analysis.id,
                    Finding.sop_instance_uid == Review.sop_instance_uid,
                ),
            )
            .where(
                Review.superseded_at.is_(None),
                Review.recorded_at >= period.since,
                Review.recorded_at < period.until,
            )
            .order_by(Review.recorded_at.desc(), Review.id.desc())
            .limit(limit)
        )
        with reading(self._engine) as session:
            found: dict[int, ReadImage] = {}  # an image of several frames has several findings
            for review_id, outcome, *seen_image in session.execute(wanted):
                one = _read_image(outcome, *seen_image)
                if review_id not in found or one.flagged:
                    found[review_id] = one
            return list(found.values())

    def suspected_missed(self, period: Period, limit: int) -> tuple[int, list[SuspectedMissed]]:
        """How many there are, and the first `limit`: likely ones, then by probability."""
        missed = (
            *_current(period),
            Analysis.outcome.in_(FLAGGED),
            Analysis.sweep_id.is_not(None),
            or_(
                SweepStudy.previous_outcome.is_(None),
                SweepStudy.previous_outcome.not_in(FLAGGED),
            ),
        )
        of_sweep = and_(
            SweepStudy.sweep_id == Analysis.sweep_id,
            SweepStudy.study_instance_uid == Study.study_instance_uid,
        )
        wanted = (
            select(Analysis, Study.study_instance_uid, SweepStudy.previous_outcome)
            .join(Study, Study.id == Analysis.study_id)
            .join(SweepStudy, of_sweep)
            .where(*missed)
        )
        worst_first = wanted.order_by(
            (Analysis.outcome == Outcome.POSITIVE).desc(),
            Analysis.probability.desc(),
            Analysis.id,
        )
        with reading(self._engine) as session:
            count = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
            rows = session.execute(worst_first.limit(limit)).all()
            read = _readings(session, [row[0].study_id for row in rows])
            return count, [
                SuspectedMissed(
                    study_instance_uid=uid,
                    outcome=analysis.outcome,
                    probability=analysis.probability,
                    concluded_at=analysis.finished_at,
                    previous_outcome=before,
                    read_as_fractured=read.get(analysis.study_id),
                )
                for analysis, uid, before in rows
            ]

    def not_analysed(self, period: Period, limit: int) -> list[tuple[str, int]]:
        """Return at most `limit` (reason, images) of INCOMPLETE and NOT_ANALYSED studies.

        The most frequent reasons come first.
        """
        count = func.count()
        wanted = (
            select(Finding.reason, count)
            .join(Analysis, Analysis.id == Finding.analysis_id)
            .where(
                *_current(period),
                Analysis.outcome.in_(NOT_WHOLLY_ANALYSED),
                Finding.analysed.is_(False),
            )
            .group_by(Finding.reason)
            .order_by(count.desc(), Finding.reason)
            .limit(limit)
        )
        with reading(self._engine) as session:
            return [(row[0], row[1]) for row in session.execute(wanted)]


def _current(period: Period) -> tuple[ColumnElement[bool], ...]:
    return (
        Analysis.superseded_at.is_(None),
        Analysis.finished_at >= period.since,
        Analysis.finished_at < period.until,
    )


def _outcomes(session: Session, day: Period) -> Mapping[Outcome, int]:
    counted = session.execute(
        select(Analysis.outcome, func.count())
        .where(*_current(day), came_by_itself(Analysis.sweep_id))
        .group_by(Analysis.outcome)
    )
    return dict.fromkeys(Outcome, 0) | {row[0]: row[1] for row in counted}


def _read_image(
    outcome: ReviewOutcome,
    model_name: str | None,
    model_version: str | None,
    body_part_examined: str | None,
    operating_point: str | None,
) -> ReadImage:
    model = f"{model_name or ''} {model_version or ''}".strip()
    return ReadImage(outcome, body_part_examined or "", model, bool(operating_point))


def _readings(session: Session, study_ids: Sequence[int]) -> dict[int, bool]:
    rows = session.execute(
        select(Review.study_id, Review.fractured).where(
            Review.study_id.in_(study_ids),
            Review.superseded_at.is_(None),
            Review.fractured.is_not(None),
        )
    )
    read: dict[int, bool] = {}
    for study_id, fractured in rows:
        read[study_id] = read.get(study_id, False) or bool(fractured)
    return read
