"""After step 8: does the destination keep what it was sent? By storage commitment or by C-FIND."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from db.ledger import Ledger
from db.records import ClaimedConfirmation
from dicom_node.commitment_scu import CommitmentReport, request_commitment
from dicom_node.errors import AssociationFailed
from dicom_node.query import find_instances
from dicom_node.retry_classes import UNREACHABLE, RetryClass, commitment_retry
from worker.destinations import Breaker, Randomness, backoff, remote_of
from worker.settings import Destination, Settings

_log = structlog.get_logger(__name__)


class Confirmer:
    """Asks for what the ledger holds as sent and not confirmed."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], datetime],
        randomness: Randomness,
        new_uid: Callable[[], str],
    ) -> None:
        self._settings = settings.delivery
        self._destinations = {one.name: one for one in settings.destinations}
        self._ledger = ledger
        self._clock = clock
        self._randomness = randomness
        self._new_uid = new_uid
        self._breaker = Breaker(settings.delivery, ledger, randomness)

    def confirm(self, study_id: int, destination: str) -> None:
        """Ask for one study's results, under a transaction UID of its own."""
        transaction_uid = self._new_uid()
        ask_again = timedelta(seconds=self._settings.confirmation_timeout_s)
        claimed = self._ledger.claim_confirmations(
            study_id, destination, transaction_uid, ask_again
        )
        if not claimed:
            return
        known = self._destinations.get(destination)
        if known is None or not (known.commitment or known.read_back):
            reason = f"sent, but destination {destination} is no longer asked for confirmation"
            self._give_up(claimed, transaction_uid, reason)
            return
        asked = self._within_tries(claimed, transaction_uid)
        if not asked:
            return
        try:
            if known.commitment:
                self._request(known, asked, transaction_uid)
            else:
                self._read_back(known, asked, transaction_uid)
        except AssociationFailed as error:
            self._postpone(known, asked, transaction_uid, error)
        else:
            self._breaker.answered(destination)

    def _within_tries(
        self, claimed: Sequence[ClaimedConfirmation], transaction_uid: str
    ) -> list[ClaimedConfirmation]:
        tries = self._settings.confirmation_tries
        spent = [one for one in claimed if one.attempts > tries]
        reason = f"sent, but not confirmed by the destination after {tries} requests"
        self._give_up(spent, transaction_uid, reason)
        return [one for one in claimed if one.attempts <= tries]

    def _request(
        self, destination: Destination, asked: Sequence[ClaimedConfirmation], transaction_uid: str
    ) -> None:
        # The report tells the transaction alone.
        _log.info(
            "commitment_requested",
            study_instance_uid=asked[0].study_instance_uid,
            destination=destination.name,
            transaction_uid=transaction_uid,
        )
        request_commitment(
            remote_of(destination),
            [(one.sop_class_uid, one.sop_instance_uid) for one in asked],
            transaction_uid,
            lambda report: record_report(self._ledger, report),
            calling_ae_title=self._calling(destination),
            timeout_s=self._settings.timeout_s,
        )

    def _read_back(
        self, destination: Destination, asked: Sequence[ClaimedConfirmation], transaction_uid: str
    ) -> None:
        found = find_instances(
            remote_of(destination),
            [(one.study_instance_uid, one.series_instance_uid) for one in asked],
            calling_ae_title=self._calling(destination),
            timeout_s=self._settings.timeout_s,
        )
        self._ledger.record_confirmation(transaction_uid, found, {})
        missing = [one for one in asked if one.sop_instance_uid not in found]
        if missing:
            attempts = max(one.attempts for one in missing)
            self._ledger.postpone_confirmation(
                transaction_uid, self._again_at(attempts), "not found by C-FIND"
            )
        _log.info(
            "read_back",
            study_instance_uid=asked[0].study_instance_uid,
            destination=destination.name,
            found=len(asked) - len(missing),
            missing=len(missing),
        )

    def _postpone(
        self,
        destination: Destination,
        asked: Sequence[ClaimedConfirmation],
        transaction_uid: str,
        error: AssociationFailed,
    ) -> None:
        attempts = max(one.attempts for one in asked)
        self._ledger.postpone_confirmation(transaction_uid, self._again_at(attempts), str(error))
        _log.warning("confirmation_postponed", destination=destination.name, reason=str(error))
        if error.problem in UNREACHABLE:
            self._breaker.failed(destination.name, str(error), attempts)

    def _again_at(self, attempts: int) -> datetime:
        return self._clock() + backoff(attempts, self._settings, self._randomness)

    def _calling(self, destination: Destination) -> str:
        return destination.calling_ae_title or self._settings.calling_ae_title

    def _give_up(
        self, claimed: Sequence[ClaimedConfirmation], transaction_uid: str, reason: str
    ) -> None:
        if claimed:
            lost = {one.sop_instance_uid: reason for one in claimed}
            self._ledger.record_confirmation(transaction_uid, (), lost)
            _log.critical(
                "delivery_not_confirmed",
                study_instance_uid=claimed[0].study_instance_uid,
                reason=reason,
                objects=len(claimed),
            )


def record_report(ledger: Ledger, report: CommitmentReport) -> bool:
    """Enter a storage commitment result, whichever association it came on.

    What failed for a passing reason stays SENT and is asked for again in time.
    """
    lost = {
        uid: f"the destination does not keep it (failure reason 0x{reason:04X})"
        for uid, reason in report.failed.items()
        if commitment_retry(reason) is RetryClass.PERMANENT
    }
    known = ledger.record_confirmation(report.transaction_uid, report.kept, lost)
    write = _log.critical if lost else _log.info
    write(
        "commitment_reported",
        transaction_uid=report.transaction_uid,
        known=known,
        kept=len(report.kept),
        lost=len(lost),
        asked_again=len(report.failed) - len(lost),
    )
    return known
