"""Step 8: a study's results to one destination, on one association, each with its own status."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from db.errors import LedgerUnavailable
from db.ledger import Ledger
from db.records import ClaimedDelivery
from dicom_node.retry_classes import RetryClass
from dicom_node.storage_scu import StoreResult, send_instances
from worker.destinations import Breaker, Randomness, next_try, remote_of
from worker.settings import Destination, Settings

_log = structlog.get_logger(__name__)

_LEDGER_PATIENCE_S = 60.0
_LEDGER_PAUSE_S = 1.0


class Deliverer:
    """Sends what the ledger holds as due.

    Each answer is recorded before the next object goes out, so that a crash repeats one object at
    most: the one whose answer was under way.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], datetime],
        randomness: Randomness,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings.delivery
        self._destinations = {one.name: one for one in settings.destinations}
        self._data_folder = settings.data_folder.resolve()
        self._ledger = ledger
        self._clock = clock
        self._randomness = randomness
        self._sleep = sleep
        self._breaker = Breaker(settings.delivery, ledger, randomness)

    def deliver(self, study_id: int, destination: str, owner: str) -> None:
        """Claim, send and record; a repeated call finds nothing left to claim."""
        lease = timedelta(seconds=self._settings.lease_s)
        claimed = self._ledger.claim_deliveries(study_id, destination, owner, lease)
        known = self._destinations.get(destination)
        if known is None:
            reason = f"destination {destination} is no longer in the settings"
            self._give_up(claimed, owner, reason)
            return
        # A worker that died left its attempt counted and nothing recorded.
        spent = [one for one in claimed if one.attempts > self._settings.maximum_tries]
        tries = self._settings.maximum_tries
        self._give_up(
            spent, owner, f"gave up after {tries} tries: the worker died or ran out of time"
        )
        self._send(known, [one for one in claimed if one not in spent], owner)

    def _send(self, destination: Destination, claimed: list[ClaimedDelivery], owner: str) -> None:
        if not claimed:
            return
        waiting = iter(claimed)

        def record(result: StoreResult) -> None:
            self._record(next(waiting), result, owner, destination)

        paths: list[Path] = [self._data_folder / one.path for one in claimed]
        results = send_instances(
            remote_of(destination),
            paths,
            calling_ae_title=destination.calling_ae_title or self._settings.calling_ae_title,
            timeout_s=self._settings.timeout_s,
            budget_s=max(0.0, self._settings.lease_s - 2 * self._settings.timeout_s),
            on_result=record,
        )
        self._report_health(destination.name, results, max(one.attempts for one in claimed))

    def _report_health(
        self, destination: str, results: Sequence[StoreResult], attempts: int
    ) -> None:
        broken = next((result for result in results if result.unreachable), None)
        if broken is not None:
            self._breaker.failed(destination, broken.error, attempts)
        elif any(result.status is not None for result in results):
            self._breaker.answered(destination)

    def _record(
        self,
        delivery: ClaimedDelivery,
        result: StoreResult,
        owner: str,
        destination: Destination,
    ) -> None:
        again_at = None
        if result.retry_class is RetryClass.TRANSIENT:
            again_at = next_try(
                delivery.attempts,
                self._settings.maximum_tries,
                self._settings,
                self._randomness,
                self._clock,
            )
        confirmed = destination.commitment or destination.read_back
        self._insist(
            lambda: self._ledger.record_delivery(
                delivery.delivery_id,
                owner,
                sent=result.stored,
                status=result.status,
                error=result.error,
                next_attempt_at=again_at,
                confirm_at=self._clock() if confirmed else None,
            )
        )
        _log_result(delivery, result, destination.name, again_at)

    def _insist(self, record: Callable[[], None]) -> None:
        """Wait for a ledger that is away: an answer that is not recorded means sending again."""
        deadline = time.monotonic() + _LEDGER_PATIENCE_S
        while True:
            try:
                record()
                return
            except LedgerUnavailable:
                if time.monotonic() > deadline:
                    raise
                _log.error("delivery_waits_for_the_ledger")
                self._sleep(_LEDGER_PAUSE_S)

    def _give_up(self, claimed: list[ClaimedDelivery], owner: str, reason: str) -> None:
        for delivery in claimed:
            self._ledger.record_delivery(
                delivery.delivery_id,
                owner,
                sent=False,
                status=None,
                error=reason,
                next_attempt_at=None,
            )
        if claimed:
            _log.critical("delivery_failed", reason=reason, objects=len(claimed))


def _log_result(
    delivery: ClaimedDelivery, result: StoreResult, destination: str, again_at: datetime | None
) -> None:
    if result.stored and not result.warning:
        event, write = "result_sent", _log.info
    elif result.stored:
        event, write = "result_sent_with_warning", _log.warning
    else:
        event = "delivery_postponed" if again_at else "delivery_failed"
        write = _log.warning if again_at else _log.critical
    write(
        event,
        sop_instance_uid=delivery.sop_instance_uid,
        destination=destination,
        status=None if result.status is None else f"0x{result.status:04X}",
        problem=result.problem,
        reason=result.error,
        attempt=delivery.attempts,
    )
