"""`Reviews`: what readers say of our results. History is kept: a later review supersedes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.errors import ReviewRefused
from db.session import transaction
from db.states import ReviewOutcome
from db.tables import Instance, Review, Study


@dataclass(frozen=True, slots=True)
class NewReview:
    """One reader's judgement of one instance; the box in pixels of the radiograph, 0-based."""

    sop_instance_uid: str
    outcome: ReviewOutcome
    fractured: bool | None
    """None: left open."""
    reader: str
    """A code, as the hospital chooses it."""
    reviewed_at: datetime
    box_left: int | None = None
    box_top: int | None = None
    box_width: int | None = None
    box_height: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewedInstance:
    """The review in force of an instance, and where its file stands."""

    review: NewReview
    study_instance_uid: str
    path: str
    """Relative to the data folder."""
    purged_at: datetime | None = None
    """When retention removed the file; None: it is here."""


class Reviews:
    """Readers' judgements. Errors and clock as in `Ledger`."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def record(self, reviews: Sequence[NewReview]) -> int:
        """Enter reviews, all or none; return how many were new.

        One that was entered before changes nothing; one older than that in force becomes history.
        ReviewRefused: an instance is not known.
        """
        with transaction(self._engine) as session:
            return sum(_enter(session, review, self._clock()) for review in reviews)

    def in_force(self) -> list[ReviewedInstance]:
        """The latest review of every reviewed instance, by SOP Instance UID."""
        wanted = (
            select(Review, Study.study_instance_uid, Instance.path, Instance.purged_at)
            .join(Study, Study.id == Review.study_id)
            .join(Instance, Instance.sop_instance_uid == Review.sop_instance_uid)
            .where(Review.superseded_at.is_(None))
        )
        with transaction(self._engine) as session:
            found = [
                ReviewedInstance(review_record(row), study, path, purged_at)
                for row, study, path, purged_at in session.execute(wanted)
            ]
        return sorted(found, key=lambda one: one.review.sop_instance_uid)

    def history(self, sop_instance_uid: str) -> list[NewReview]:
        """All reviews of an instance, in the order in which they were entered."""
        wanted = select(Review).where(Review.sop_instance_uid == sop_instance_uid)
        with transaction(self._engine) as session:
            return [review_record(row) for row in session.scalars(wanted.order_by(Review.id))]


def _enter(session: Session, review: NewReview, now: datetime) -> bool:
    uid = review.sop_instance_uid
    study_id = session.scalar(select(Instance.study_id).where(Instance.sop_instance_uid == uid))
    if study_id is None:
        raise ReviewRefused(f"instance {uid} is not known: was it received here?")
    # The study's row is the lock of what hangs on it.
    session.get_one(Study, study_id, with_for_update=True)
    rows = session.scalars(select(Review).where(Review.sop_instance_uid == uid)).all()
    if any(review_record(row) == review for row in rows):
        return False
    current = next((row for row in rows if row.superseded_at is None), None)
    outdated = current is not None and review.reviewed_at < current.reviewed_at
    if current is not None and not outdated:
        current.superseded_at = now
        session.flush()
    superseded_at = now if outdated else None
    session.add(
        Review(study_id=study_id, recorded_at=now, superseded_at=superseded_at, **asdict(review))
    )
    session.flush()
    return True


def review_record(row: Review) -> NewReview:
    """A review from its row."""
    return NewReview(**{name: getattr(row, name) for name in NewReview.__slots__})
