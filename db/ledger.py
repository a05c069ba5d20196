"""`Ledger`: the one door to the database. Each method is one transaction, committed on return.

What the transactions do stands in `intake`, `queueing`, `conclusions`, `deliveries`,
`confirmations`, `circuits`, `dead_letters` and `overview`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import (
    circuits,
    conclusions,
    confirmations,
    dead_letters,
    deliveries,
    failed_studies,
    intake,
    overview,
    queueing,
)
from db.audit import NO_DETAILS, RETRIED_STUDY, Details, record_event
from db.errors import LedgerInconsistent
from db.failed_studies import FailedAnalysis, FailedStudy
from db.records import (
    ClaimedConfirmation,
    ClaimedDelivery,
    ClaimedStudy,
    Conclusion,
    DeliveryFilter,
    DeliveryRecord,
    DueDelivery,
    LedgerStatus,
    NewInstance,
    NewResultObject,
    QueuedStudy,
    Registration,
    ReleasedStudy,
    StudySummary,
)
from db.session import database_errors, reading
from db.states import CircuitState, StudyState

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
        change nothing, but the first brings a file back that was purged. A late instance sends its
        study back to RECEIVING; a study that had been concluded gets its next revision, and a
        worker that is screening it loses its lease.
        """
        for _ in range(_REGISTRATION_TRIES - 1):
            try:
                return self.register_together([instance])[0]
            except LedgerInconsistent:
                continue
        return self.register_together([instance])[0]

    def register_together(self, instances: Sequence[NewInstance]) -> list[Registration]:
        """Store instances in one transaction; what became of each.

        LedgerInconsistent: nothing was stored, because of one of them.
        """
        with database_errors(), self._engine.begin() as connection:
            return intake.register_instances(connection, instances, self._clock())

    def restore_file(self, instance: NewInstance, missing_path: str) -> bool:
        """Keep the file of a DUPLICATE whose known file, at `missing_path`, is no longer on disk.

        A study that is waiting, under way or FAILED is opened as by a late instance. False, and
        nothing changed: another process was quicker.
        """
        with database_errors(), self._engine.begin() as connection:
            return intake.restore_file(connection, instance, missing_path, self._clock())

    def known_path(self, relative_path: str) -> bool:
        """Whether some instance's file stands at this path."""
        with self._transaction() as session:
            return intake.known_path(session, relative_path)

    def stored_path(self, sop_instance_uid: str) -> str | None:
        """Path of an instance's file, relative to the data folder; None: there is no file."""
        with reading(self._engine) as session:
            return intake.stored_path(session, sop_instance_uid)

    def instance_paths(self) -> Iterator[tuple[str, str]]:
        """(SOP instance UID, path) of each instance that was not purged, in short transactions."""
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

    def queue_ready_studies(self, limit: int, backlog_limit: int = 100) -> list[QueuedStudy]:
        """Make QUEUED up to `limit` READY studies, longest waiting first.

        Of those that sweeps brought, only as many as keep `backlog_limit` under way: the others
        wait here, where nothing has to be published again and a pause takes effect at once.
        No study is given to two callers. It is committed on return: publish afterwards; what is
        lost in between comes back by `requeue_unclaimed`.
        """
        with self._transaction() as session:
            return queueing.queue_ready_studies(session, limit, backlog_limit, self._clock())

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

    def has_unfinished_work(self) -> bool:
        """Whether some study or delivery has not reached its end. Takes no lock on SQLite."""
        with reading(self._engine) as session:
            return queueing.has_unfinished_work(session)

    # Screening

    def claim_study(
        self, study_id: int, revision: int, owner: str, lease: timedelta
    ) -> ClaimedStudy | None:
        """Claim a QUEUED study; None when somebody else has it or it moved on."""
        with self._transaction() as session:
            return queueing.claim_study(session, study_id, revision, owner, lease, self._clock())

    def conclude(self, claim: ClaimedStudy, conclusion: Conclusion, started_at: datetime) -> bool:
        """Record an analysis with findings, result objects and a delivery per destination of each.

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

    def failed_analysis(self, study_id: int, revision: int) -> FailedAnalysis | None:
        """The analysis in force if it FAILED in this revision and has no report yet."""
        with reading(self._engine) as session:
            return failed_studies.failed_analysis(session, study_id, revision)

    def record_failure_report(self, study_id: int, revision: int, report: NewResultObject) -> bool:
        """Add the report of a failed analysis and its deliveries; False if the study moved on."""
        with self._transaction() as session:
            return conclusions.record_failure_report(
                session, study_id, revision, report, self._clock()
            )

    def failed_studies(self, limit: int) -> list[FailedStudy]:
        """Up to `limit` FAILED studies, the latest failure first."""
        with reading(self._engine) as session:
            return failed_studies.failed_studies(session, limit)

    def retry_failed(
        self, study_instance_uid: str, actor: str = "", details: Details = NO_DETAILS
    ) -> bool:
        """Make a FAILED study READY as its next revision; False if it is not FAILED.

        Args:
            actor: who asked, entered into the audit trail; "": no person did.
            details: of the entry, without patient data.
        """
        with self._transaction() as session:
            now = self._clock()
            retried = conclusions.retry_failed(session, study_instance_uid, now)
            if retried and actor:
                record_event(session, actor, RETRIED_STUDY, study_instance_uid, details, now)
            return retried

    # Delivery

    def due_deliveries(
        self, limit: int, hold: timedelta = timedelta(minutes=2)
    ) -> list[DueDelivery]:
        """Up to `limit` groups that are due, longest waiting first; publish a task for each.

        A group is not given out again for `hold`, unless it is claimed and fails before. Nothing
        comes for a destination whose circuit is OPEN, and one group for one that is HALF_OPEN.
        """
        with self._transaction() as session:
            return deliveries.due_deliveries(session, limit, hold, self._clock())

    def claim_deliveries(
        self, study_id: int, destination: str, owner: str, lease: timedelta
    ) -> list[ClaimedDelivery]:
        """Claim a group's due deliveries; empty when somebody else has them.

        Empty too where the destination's circuit forbids. Outdated ones are withdrawn.
        """
        with self._transaction() as session:
            return deliveries.claim_deliveries(
                session, study_id, destination, owner, lease, self._clock()
            )

    def postpone_over_rate(
        self, study_id: int, destination: str, per_minute: int
    ) -> datetime | None:
        """Put a group off if the destination had so many objects within a minute; until when."""
        with self._transaction() as session:
            return deliveries.postpone_over_rate(
                session, study_id, destination, per_minute, self._clock()
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
        confirm_at: datetime | None = None,
    ) -> None:
        """Record one attempt: SENT, or PENDING until `next_attempt_at`, or FAILED if that is None.

        What was sent is asked for at `confirm_at`; None: never. Ignored when `owner` lost its
        lease to another worker, which will record its own attempt.
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
                confirm_at=confirm_at,
                now=self._clock(),
            )

    def record_reachable(self, destination: str) -> bool:
        """The destination answered: its circuit is CLOSED. True if it was not before."""
        with self._transaction() as session:
            return circuits.record_success(session, destination)

    def record_unreachable(
        self, destination: str, error: str, threshold: int, pause: timedelta
    ) -> CircuitState:
        """An association failed: OPEN for `pause` at `threshold` in a row, or after a probe."""
        with self._transaction() as session:
            return circuits.record_failure(
                session, destination, error, threshold, pause, self._clock()
            )

    # Confirmation

    def due_confirmations(
        self, limit: int, hold: timedelta = timedelta(minutes=2)
    ) -> list[DueDelivery]:
        """Up to `limit` groups that were sent and are to be asked for; publish a task for each."""
        with self._transaction() as session:
            return confirmations.due_confirmations(session, limit, hold, self._clock())

    def claim_confirmations(
        self, study_id: int, destination: str, transaction_uid: str, ask_again: timedelta
    ) -> list[ClaimedConfirmation]:
        """Open a request under a new transaction UID for what a group has unconfirmed."""
        with self._transaction() as session:
            return confirmations.claim_confirmations(
                session, study_id, destination, transaction_uid, ask_again, self._clock()
            )

    def record_confirmation(
        self, transaction_uid: str, kept: Collection[str], lost: Mapping[str, str]
    ) -> bool:
        """Enter a destination's answer: COMMITTED or FAILED; False if nobody asked under this UID.

        `kept` are SOP Instance UIDs, `lost` maps others to the reason.
        """
        with self._transaction() as session:
            return confirmations.record_confirmation(
                session, transaction_uid, kept, lost, self._clock()
            )

    def postpone_confirmation(
        self, transaction_uid: str, ask_again_at: datetime, error: str
    ) -> None:
        """The request could not be made or was not granted: ask again then."""
        with self._transaction() as session:
            confirmations.postpone_confirmation(session, transaction_uid, ask_again_at, error)

    # What operators do with deliveries

    def deliveries(self, chosen: DeliveryFilter, limit: int = 1000) -> list[DeliveryRecord]:
        """Up to `limit` deliveries, newest first."""
        with self._transaction() as session:
            return dead_letters.list_deliveries(session, chosen, limit)

    def count_deliveries(self, chosen: DeliveryFilter) -> int:
        """How many deliveries are meant."""
        with self._transaction() as session:
            return dead_letters.count_deliveries(session, chosen)

    def replay_deliveries(self, chosen: DeliveryFilter) -> int:
        """Make the dead letters among them PENDING again, as if never tried; return how many."""
        with self._transaction() as session:
            return dead_letters.replay(session, chosen, self._clock())

    def discard_deliveries(self, chosen: DeliveryFilter) -> int:
        """Withdraw the dead and the waiting ones among them; return how many.

        One that a worker is sending just now stays.
        """
        with self._transaction() as session:
            return dead_letters.discard(session, chosen, self._clock())

    # Overview

    def status(self) -> LedgerStatus:
        """Count everything."""
        with self._transaction() as session:
            return overview.status(session, self._clock())

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
