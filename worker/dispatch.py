"""Steps 3 and 4: makes quiet studies ready and publishes what is due. Any number may run.

The ledger is the outbox: what is committed there and not published, or lost by the broker, is found
again and published again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError
from sqlalchemy.engine import make_url

from db.errors import LedgerUnavailable
from db.ledger import Ledger
from db.records import QueuedStudy, ReleasedStudy
from db.states import StudyState
from worker.app import (
    publish_batch,
    publish_confirmation,
    publish_delivery,
    publish_failure,
    publish_study,
)
from worker.folder_watch import FolderWatch, watch_if_possible
from worker.settings import DeliverySettings, Settings, StudySettings, SweepSettings

_log = structlog.get_logger(__name__)

BATCH = 100
_PAUSE_AFTER_TROUBLE_S = 5.0
_LONGEST_REST_S = 5.0
"""Then the ledger is asked even if no change of its file was seen."""
_TROUBLE = (OperationalError, ChannelError, OSError, LedgerUnavailable)
"""What passes: broker or database away, or no room for the embedded broker's files."""


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """One look at the ledger publishes all that is due then."""

    ledger: Ledger
    celery: Celery
    settings: StudySettings
    delivery: DeliverySettings
    sweep: SweepSettings = field(default_factory=SweepSettings)
    _unpublished: deque[Callable[[], None]] = field(default_factory=deque, init=False)
    """Of what the ledger counts as queued: else it would wait until it is asked for again."""

    def run(self, stop: Event, changes: FolderWatch | None = None) -> None:
        """Look until `stop` is set; a broker or database that is away is waited for.

        While the ledger holds nothing unfinished, only `changes` of its file are waited for, or
        without them asked for.
        """
        while not stop.is_set():
            try:
                self.look()
                stop.wait(self.settings.poll_interval_s)
                self._rest(stop, changes)
            except _TROUBLE as error:
                _log.error("dispatch_interrupted", kind=type(error).__name__)
                stop.wait(_PAUSE_AFTER_TROUBLE_S)

    def _rest(self, stop: Event, changes: FolderWatch | None) -> None:
        """Wait until there may be something to do.

        The first bytes of a commit are told of before it can be read. So a change is answered by a
        look, which asks for SQLite's write lock and gets it when that commit is over.
        """
        while not (stop.is_set() or self._unpublished or self.ledger.has_unfinished_work()):
            if changes is None:
                stop.wait(self.settings.poll_interval_s)
            elif changes.wait(_LONGEST_REST_S):
                return

    def look(self) -> int:
        """Publish what is due; return how many messages that were."""
        ledger, settings = self.ledger, self.settings
        ledger.mark_quiet_studies_ready(timedelta(seconds=settings.quiet_period_s))
        released = ledger.release_expired_leases(settings.maximum_attempts)
        for study in released:
            write = _log.critical if study.state is StudyState.FAILED else _log.warning
            write("lease_expired", study_instance_uid=study.study_instance_uid, state=study.state)
            if study.state is StudyState.FAILED:
                self._add(publish_failure, study.study_id, study.revision)
        self._add_studies([one for one in released if one.state is StudyState.QUEUED])
        published = self._publish()  # before more is taken from the ledger
        self._add_studies(
            [
                *ledger.queue_ready_studies(BATCH, self.sweep.queued_studies),
                *ledger.requeue_unclaimed(timedelta(seconds=settings.requeue_after_s), BATCH),
            ]
        )
        hold = timedelta(seconds=self.delivery.requeue_after_s)
        for due in ledger.due_deliveries(BATCH, hold):
            self._add(publish_delivery, due.study_id, due.destination)
        for due in ledger.due_confirmations(BATCH, hold):
            self._add(publish_confirmation, due.study_id, due.destination)
        return published + self._publish()

    def _add_studies(self, studies: Sequence[QueuedStudy | ReleasedStudy]) -> None:
        """Of the backlog as many to a message as a worker screens at a time."""
        for one in studies:
            if not one.backlog:
                self._add(publish_study, one.study_id, one.revision)
        backlog = [(one.study_id, one.revision) for one in studies if one.backlog]
        size = self.sweep.batch_studies
        for first in range(0, len(backlog), size):
            self._add(publish_batch, backlog[first : first + size])

    def _add(self, publish: Callable[..., None], *message: object) -> None:
        self._unpublished.append(partial(publish, self.celery, *message))

    def _publish(self) -> int:
        """All or, where the broker goes away, the first ones: the rest waits for the next look."""
        published = 0
        while self._unpublished:
            self._unpublished[0]()
            self._unpublished.popleft()
            published += 1
        return published


def watch_ledger(settings: Settings) -> FolderWatch | None:
    """Return what tells of every commit to a SQLite ledger; None: it has to be asked."""
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    # Every process that commits writes to the write-ahead log first.
    file = Path(url.database)
    return watch_if_possible(file.parent, f"{file.name}-wal".__eq__)
