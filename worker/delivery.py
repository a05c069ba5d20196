"""Step 8: a study's results to one destination, on one connection, each with its own status."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from db.errors import LedgerUnavailable
from db.ledger import Ledger
from db.records import ClaimedDelivery
from dicom_node.retry_classes import RetryClass
from worker.destinations import Breaker, Randomness, next_try
from worker.senders import Parcel, Sender, make_senders
from worker.settings import Settings
from worklist.flags.answers import Answer

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
        self._senders = make_senders(settings, clock)
        self._data_folder = settings.data_folder.resolve()
        self._ledger = ledger
        self._clock = clock
        self._randomness = randomness
        self._sleep = sleep
        self._breaker = Breaker(settings.delivery, ledger, randomness)

    def deliver(self, study_id: int, destination: str, owner: str) -> None:
        """Claim, send and record; a repeated call finds nothing left to claim."""
        sender = self._senders.get(destination)
        if sender is not None and self._is_put_off(study_id, destination, sender.per_minute):
            return
        lease = timedelta(seconds=self._settings.lease_s)
        claimed = self._ledger.claim_deliveries(study_id, destination, owner, lease)
        if sender is None:
            reason = f"destination {destination} is no longer in the settings"
            self._give_up(claimed, owner, destination, reason)
            return
        # A worker that died left its attempt counted and nothing recorded.
        spent = [one for one in claimed if one.attempts > self._settings.maximum_tries]
        tries = self._settings.maximum_tries
        reason = f"gave up after {tries} tries: the worker died or ran out of time"
        self._give_up(spent, owner, destination, reason)
        self._send(sender, destination, [one for one in claimed if one not in spent], owner)

    def _is_put_off(self, study_id: int, destination: str, per_minute: int | None) -> bool:
        if per_minute is None:
            return False
        until = self._ledger.postpone_over_rate(study_id, destination, per_minute)
        if until is not None:
            _log.info("delivery_put_off", study_id=study_id, destination=destination, until=until)
        return until is not None

    def _send(
        self, sender: Sender, destination: str, claimed: list[ClaimedDelivery], owner: str
    ) -> None:
        if not claimed:
            return
        parcels = {
            Parcel(one.sop_instance_uid, self._data_folder / one.path): one for one in claimed
        }

        def record(parcel: Parcel, answer: Answer) -> None:
            self._record(parcels[parcel], answer, owner, destination, asked=sender.is_asked)

        budget_s = max(0.0, self._settings.lease_s - 2 * sender.timeout_s)
        answers = sender.send(list(parcels), budget_s, record)
        self._report_health(destination, answers, max(one.attempts for one in claimed))

    def _report_health(self, destination: str, answers: Sequence[Answer], attempts: int) -> None:
        broken = next((answer for answer in answers if answer.unreachable), None)
        if broken is not None:
            self._breaker.failed(destination, broken.error, attempts)
        elif any(answer.status is not None for answer in answers):
            self._breaker.answered(destination)

    def _record(
        self,
        delivery: ClaimedDelivery,
        answer: Answer,
        owner: str,
        destination: str,
        *,
        asked: bool,
    ) -> None:
        again_at = self._again_at(delivery, answer)
        self._insist(
            lambda: self._ledger.record_delivery(
                delivery.delivery_id,
                owner,
                sent=answer.taken,
                status=answer.status,
                error=answer.error,
                next_attempt_at=again_at,
                confirm_at=self._clock() if asked else None,
            )
        )
        _log_answer(delivery, answer, destination, again_at)

    def _again_at(self, delivery: ClaimedDelivery, answer: Answer) -> datetime | None:
        """When it is tried again; None: it is not."""
        if answer.retry_class is not RetryClass.TRANSIENT:
            return None
        again_at = next_try(
            delivery.attempts,
            self._settings.maximum_tries,
            self._settings,
            self._randomness,
            self._clock,
        )
        if again_at is None or answer.pause_s is None:
            return again_at
        asked_for = min(answer.pause_s, self._settings.maximum_backoff_s)
        return max(again_at, self._clock() + timedelta(seconds=asked_for))

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

    def _give_up(
        self, claimed: list[ClaimedDelivery], owner: str, destination: str, reason: str
    ) -> None:
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
            _log.critical(
                "delivery_failed",
                study_instance_uid=claimed[0].study_instance_uid,
                destination=destination,
                reason=reason,
                objects=len(claimed),
            )


def _log_answer(
    delivery: ClaimedDelivery, answer: Answer, destination: str, again_at: datetime | None
) -> None:
    if answer.retry_class is RetryClass.SUCCESS:
        event, write = "result_sent", _log.info
    elif answer.taken:
        event, write = "result_sent_with_warning", _log.warning
    else:
        event = "delivery_postponed" if again_at else "delivery_failed"
        write = _log.warning if again_at else _log.critical
    write(
        event,
        study_instance_uid=delivery.study_instance_uid,
        sop_instance_uid=delivery.sop_instance_uid,
        destination=destination,
        status=None if answer.status is None else f"0x{answer.status:04X}",
        problem=answer.problem,
        reason=answer.error,
        attempt=delivery.attempts,
    )
