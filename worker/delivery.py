"""Step 8: a study's results to one destination, on one association, each with its own status."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from db.ledger import Ledger
from db.records import ClaimedDelivery
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import StoreResult, send_instances
from worker.settings import DeliverySettings, Destination, Settings

_log = structlog.get_logger(__name__)

_LEASE = timedelta(minutes=10)


class Deliverer:
    """Sends what the ledger holds as due."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._settings = settings.delivery
        self._destinations = {one.name: one for one in settings.destinations}
        self._data_folder = settings.data_folder.resolve()
        self._ledger = ledger
        self._clock = clock

    def deliver(self, study_id: int, destination: str, owner: str) -> None:
        """Claim, send and record; a repeated call finds nothing left to claim."""
        claimed = self._ledger.claim_deliveries(study_id, destination, owner, _LEASE)
        if not claimed:
            return
        if destination not in self._destinations:
            self._give_up(claimed, owner, f"destination {destination} is no longer in the settings")
            return
        results = self._send(self._destinations[destination], claimed)
        for delivery, result in zip(claimed, results, strict=True):
            self._record(delivery, result, owner, destination)

    def _send(self, destination: Destination, claimed: list[ClaimedDelivery]) -> list[StoreResult]:
        paths: list[Path] = [self._data_folder / one.path for one in claimed]
        return send_instances(
            RemoteAE(destination.ae_title, destination.host, destination.port),
            paths,
            calling_ae_title=self._settings.calling_ae_title,
            timeout_s=self._settings.timeout_s,
        )

    def _record(
        self, delivery: ClaimedDelivery, result: StoreResult, owner: str, destination: str
    ) -> None:
        again_at = None if result.stored else self._next_try(delivery.attempts)
        self._ledger.record_delivery(
            delivery.delivery_id,
            owner,
            sent=result.stored,
            status=result.status,
            error=result.error,
            next_attempt_at=again_at,
        )
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
            reason=result.error,
            attempt=delivery.attempts,
        )

    def _next_try(self, attempts: int) -> datetime | None:
        if attempts >= self._settings.maximum_tries:
            return None
        return self._clock() + backoff(attempts, self._settings)

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
        _log.critical("delivery_failed", reason=reason, objects=len(claimed))


def backoff(attempts: int, settings: DeliverySettings) -> timedelta:
    """Pause after the `attempts`-th try (from 1): doubling, up to the longest."""
    doubled = settings.first_backoff_s * 2.0 ** min(attempts - 1, 30)
    return timedelta(seconds=min(doubled, settings.maximum_backoff_s))
