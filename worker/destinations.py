"""Destinations as settings describe them: their address, their pauses, their circuit breaker."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from db.ledger import Ledger
from db.states import CircuitState
from dicom_node.instance import RemoteAE
from worker.settings import DeliverySettings, Destination

_log = structlog.get_logger(__name__)

Randomness = Callable[[], float]
"""Gives a number in [0, 1)."""


def remote_of(destination: Destination) -> RemoteAE:
    """The remote AE that a destination's settings name."""
    return RemoteAE(
        destination.ae_title, destination.host, destination.port, destination.outbound_tls
    )


def backoff(attempts: int, settings: DeliverySettings, randomness: Randomness) -> timedelta:
    """Pause after the `attempts`-th try (from 1): doubling, up to the longest, with jitter.

    The jitter keeps what failed together from coming back together.
    """
    doubled = settings.first_backoff_s * 2.0 ** min(attempts - 1, 30)
    pause = min(doubled, settings.maximum_backoff_s)
    return timedelta(seconds=pause * (1 + settings.jitter * (2 * randomness() - 1)))


class Breaker:
    """Tells the ledger, and so all workers, whether destinations answer."""

    def __init__(self, settings: DeliverySettings, ledger: Ledger, randomness: Randomness) -> None:
        self._settings = settings
        self._ledger = ledger
        self._randomness = randomness

    def answered(self, destination: str) -> None:
        """An association was had."""
        if self._ledger.record_reachable(destination):
            _log.info("destination_reachable_again", destination=destination)

    def failed(self, destination: str, error: str, attempts: int) -> None:
        """None was had, or it broke; `attempts` so far decide how long the pause is."""
        threshold = self._settings.failures_to_open
        pause = backoff(attempts, self._settings, self._randomness)
        state = self._ledger.record_unreachable(destination, error, threshold, pause)
        if state is CircuitState.OPEN:
            _log.error(
                "destination_unreachable",
                destination=destination,
                reason=error,
                pause_s=round(pause.total_seconds(), 1),
            )


def next_try(
    attempts: int,
    maximum: int,
    settings: DeliverySettings,
    randomness: Randomness,
    clock: Callable[[], datetime],
) -> datetime | None:
    """When to try again after `attempts` tries; None: not any more."""
    if attempts >= maximum:
        return None
    return clock() + backoff(attempts, settings, randomness)
