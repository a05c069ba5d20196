"""`Ledger`: the one door to the database. Each method is one transaction, committed on return.

What the transactions do stands in `intake`, `queueing`, `conclusions`, `deliveries`, `overview`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import conclusions, deliveries, intake, overview, queueing
from db.errors import LedgerInconsistent
from db.records import (
    ClaimedDelivery,
    ClaimedStudy,
    Conclusion,
    DueDelivery,
    LedgerStatus,
    NewInstance,
    QueuedStudy,
    Registration,
    ReleasedStudy,
    StudySummary,
)
from db.session import database_errors
from db.states import StudyState

# One process at most wins each race for a UID, and the losers then see its row.
_REGISTRATION_TRIES = 3
_PATHS_PER_TRANSACTION = 1000


class Ledger:
    """Studies, analyses and deliveries. Safe to share between threads.

    `clock` gives the present as a timezone-aware datetime; machines that share a ledger must keep
    their clocks together to well under the leases they use. Every method raises
    LedgerUnavailable when the database cannot be used, and then nothing was stored.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    # Reception

    def register_instance(self, instance: NewInstance) -> Registration:
        """Store the instance and open its study, in one transaction.

        A UID known with the same digest is a DUPLICATE and with another digest a CONFLICT; both
        change nothing. A late instance sends its study back to RECEIVING; a study that had been
        concluded gets its next revision, and a worker that is screening it loses its lease.
        """
        for _ in range(_REGISTRATION_TRIES - 1):
            try:
                with self._transaction() as session:
                    return intake.register_instance(session, instance, self._clock())
            except LedgerInconsistent:
                continue
        with self._transaction() as session:
            return intake.register_instance(session, instance, self._clock())

    def known_path(self, relative_path: str) -> bool:
        """Whether some instance's file stands at this path."""
        with self._transaction() as session:
            return intake.known_path(session, relative_path)

    def instance_paths(self) -> Iterator[tuple[str, str]]:
        """Every instance's (SOP instance UID, path), in many short transactions."""
        after = 0
        while True:
            with self._transaction() as session:
                page = intake.instance_paths(session, after, _PATHS_PER_TRANSACTION)
            if not page:
                return
            for _, sop_instance_uid, path in page:
                yield sop_instance_uid, path
            after = page[-1][0]

    # Dispatch

    def mark_quiet_studies_ready(self, quiet_period: timedelta) -> int:
        """Make READY what got no instance for `quiet_period`; return how many studies."""
        with self._transaction() as session:
            return queueing.mark_quiet_studies_ready(session, quiet_period, self._clock())

    def queue_ready_studies(self, limit: int) -> list[QueuedStudy]:
        """Make QUEUED up to `limit` READY studies, longest waiting first.

        No study is given to two callers. It is committed on return: publish afterwards; what is
        lost in between comes back by `requeue_unclaimed`.
        """
        with self._transaction() as session:
            return queueing.queue_ready_studies(session, limit, self._clock())

    def requeue_unclaimed(self, queued_before: timedelta, limit: int) -> list[QueuedStudy]:
        """Studies to publish again: QUEUED for at least `queued_before`, claimed by nobody."""
        with self._transaction() as session:
            return queueing.requeue_unclaimed(session, queued_before, limit, self._clock())

    def release_expired_leases(self, max_attempts: int) -> list[ReleasedStudy]:
        """Take back the studies whose worker died or ran out of time.

        They are QUEUED again (publish them), or FAILED after `max_attempts` claims that no late
        instance had cut short.
        """
        with self._transaction() as session:
            return queueing.release_expired_leases(session, max_attempts, self._clock())

    # Screening

    def claim_study(
        self, study_id: int, revision: int, owner: str, lease: timedelta
    ) -> ClaimedStudy | None:
        """Claim a QUEUED study; None when somebody else has it or it moved on."""
        with self._transaction() as session:
            return queueing.claim_study(session, study_id, revision, owner, lease, self._clock())

    def conclude(self, claim: ClaimedStudy, conclusion: Conclusion, started_at: datetime) -> bool:
        """Record an analysis with findings, result objects and one delivery per destination.

        All in one transaction, which also supersedes the study's previous analysis. A result
        object whose UID is known is reused: the ledger keeps the row, the path and the digest
        that it has. False, and nothing is written, when the claim is no longer valid. A lease
        that ended is still valid until somebody takes the study back.
        """
        with self._transaction() as session:
            return conclusions.conclude(session, claim, conclusion, started_at, self._clock())

    def fail_attempt(self, claim: ClaimedStudy, reason: str, max_attempts: int) -> StudyState:
        """Give the study back after an error; return the state it is in now.

        QUEUED while attempts remain (publish it again), else FAILED with `reason`. `reason` must
        hold no patient data. A claim that is no longer valid changes nothing.
        """
        with self._transaction() as session:
            return conclusions.fail_attempt(session, claim, reason, max_attempts, self._clock())

    def retry_failed(self, study_instance_uid: str) -> bool:
        """Make a FAILED study READY as its next revision; False if it is not FAILED."""
        with self._transaction() as session:
            return conclusions.retry_failed(session, study_instance_uid, self._clock())

    # Delivery

    def due_deliveries(
        self, limit: int, hold: timedelta = timedelta(minutes=2)
    ) -> list[DueDelivery]:
        """Up to `limit` groups that are due, longest waiting first; publish a task for each.

        A group is not given out again for `hold`, unless it is claimed and fails before.
        """
        with self._transaction() as session:
            return deliveries.due_deliveries(session, limit, hold, self._clock())

    def claim_deliveries(
        self, study_id: int, destination: str, owner: str, lease: timedelta
    ) -> list[ClaimedDelivery]:
        """Claim a group's due deliveries; empty when somebody else has them."""
        with self._transaction() as session:
            return deliveries.claim_deliveries(
                session, study_id, destination, owner, lease, self._clock()
            )

    def record_delivery(
        self,
        delivery_id: int,
        owner: str,
        *,
        sent: bool,
        status: int | None,
        error: str,
        next_attempt_at: datetime | None,
    ) -> None:
        """Record one attempt: SENT, or PENDING until `next_attempt_at`, or FAILED if that is None.

        Ignored when `owner` lost its lease to another worker, which will record its own attempt.
        """
        with self._transaction() as session:
            deliveries.record_delivery(
                session,
                delivery_id,
                owner,
                sent=sent,
                status=status,
                error=error,
                next_attempt_at=next_attempt_at,
                now=self._clock(),
            )

    def replay_failed_deliveries(self, destination: str | None = None) -> int:
        """Make dead letters PENDING again, of one destination or of all; return how many."""
        with self._transaction() as session:
            return deliveries.replay_failed(session, destination, self._clock())

    # Overview

    def status(self) -> LedgerStatus:
        """Count everything."""
        with self._transaction() as session:
            return overview.status(session)

    def study_summary(self, study_instance_uid: str) -> StudySummary | None:
        """One study with its current analysis; None if it is not known."""
        with self._transaction() as session:
            return overview.study_summary(session, study_instance_uid)

    def recent_studies(self, limit: int) -> list[StudySummary]:
        """The studies that got an instance last, newest first."""
        with self._transaction() as session:
            return overview.recent_studies(session, limit)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with database_errors(), Session(self._engine) as session, session.begin():
            yield session
