"""Pauses between tries, and what settings of a destination are refused."""

import pytest
from pydantic import ValidationError

from worker.destinations import backoff, remote_of
from worker.settings import DeliverySettings, Destination

SETTINGS = DeliverySettings()


def pauses(randomness: float) -> list[float]:
    return [backoff(n, SETTINGS, lambda: randomness).total_seconds() for n in range(1, 11)]


def test_pauses_double_from_30_seconds_to_10_minutes() -> None:
    assert pauses(0.5) == [30, 60, 120, 240, 480, 600, 600, 600, 600, 600]


def test_jitter_spreads_each_pause_by_its_share_both_ways() -> None:
    assert pauses(0.0)[0] == pytest.approx(24)
    assert pauses(0.999999)[0] == pytest.approx(36, abs=0.001)


def test_a_huge_count_of_tries_is_no_overflow() -> None:
    assert backoff(10**6, SETTINGS, lambda: 0.5).total_seconds() == 600


def destination(**options: object) -> Destination:
    required = {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104}
    return Destination.model_validate({**required, **options})


def test_a_plain_destination_has_no_tls() -> None:
    assert remote_of(destination()).tls is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"commitment": True, "read_back": True}, "set one of them"),
        ({"tls_ca_file": "ca", "tls_key_file": "key"}, "belong together"),
        ({"tls_host_name": "pacs.example"}, "TLS needs tls_ca_file"),
        ({"tls_pinned_sha256": "AB"}, "pattern"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        destination(**options)


def test_a_lease_that_one_silent_peer_could_outlast_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least four times"):
        DeliverySettings(timeout_s=30, lease_s=60)
