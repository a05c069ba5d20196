"""Steps 3 and 4: makes quiet studies ready and publishes what is due. Any number may run.

The ledger is the outbox: what is committed there and not published, or lost by the broker, is found
again and published again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from db.errors import LedgerUnavailable
from db.ledger import Ledger
from db.records import QueuedStudy, ReleasedStudy
from db.states import StudyState
from worker.app import publish_batch, publish_confirmation, publish_delivery, publish_study
from worker.settings import DeliverySettings, StudySettings, SweepSettings

_log = structlog.get_logger(__name__)

BATCH = 100
_PAUSE_AFTER_TROUBLE_S = 5.0
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

    def run(self, stop: Event) -> None:
        """Look until `stop` is set; a broker or database that is away is waited for."""
        while not stop.is_set():
            try:
                self.look()
                stop.wait(self.settings.poll_interval_s)
            except _TROUBLE as error:
                _log.error("dispatch_interrupted", kind=type(error).__name__)
                stop.wait(_PAUSE_AFTER_TROUBLE_S)

    def look(self) -> int:
        """Publish what is due; return how many messages that were."""
        ledger, settings = self.ledger, self.settings
        ledger.mark_quiet_studies_ready(timedelta(seconds=settings.quiet_period_s))
        released = ledger.release_expired_leases(settings.maximum_attempts)
        for study in released:
            write = _log.critical if study.state is StudyState.FAILED else _log.warning
            write("lease_expired", study_instance_uid=study.study_instance_uid, state=study.state)
        studies: list[QueuedStudy | ReleasedStudy] = [
            *(s for s in released if s.state is StudyState.QUEUED),
            *ledger.queue_ready_studies(BATCH, self.sweep.queued_studies),
            *ledger.requeue_unclaimed(timedelta(seconds=settings.requeue_after_s), BATCH),
        ]
        triage = [(s.study_id, s.revision) for s in studies if not s.backlog]
        backlog = [(s.study_id, s.revision) for s in studies if s.backlog]
        hold = timedelta(seconds=self.delivery.requeue_after_s)
        deliveries = [(due.study_id, due.destination) for due in ledger.due_deliveries(BATCH, hold)]
        confirmations = [
            (due.study_id, due.destination) for due in ledger.due_confirmations(BATCH, hold)
        ]
        return (
            _publish(publish_study, self.celery, triage)
            + self._publish_backlog(backlog)
            + _publish(publish_delivery, self.celery, deliveries)
            + _publish(publish_confirmation, self.celery, confirmations)
        )

    def _publish_backlog(self, studies: list[tuple[int, int]]) -> int:
        """As many to a message as a worker screens at a time."""
        size = self.sweep.batch_studies
        for first in range(0, len(studies), size):
            publish_batch(self.celery, studies[first : first + size])
        return len(studies)


def _publish(
    publish: Callable[..., None],
    celery: Celery,
    messages: list[tuple[int, int]] | list[tuple[int, str]],
) -> int:
    for message in messages:
        publish(celery, *message)
    return len(messages)
