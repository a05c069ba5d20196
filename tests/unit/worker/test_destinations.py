"""Pauses between tries, and what settings of a destination are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.destinations import backoff, remote_of
from worker.settings import DeliverySettings, Destination

SETTINGS = DeliverySettings()
MICROSECOND = 2e-6
"""timedelta's resolution, and what rounding to it may add."""


def pauses(randomness: float) -> list[float]:
    return [backoff(n, SETTINGS, lambda: randomness).total_seconds() for n in range(1, 11)]


def test_pauses_double_from_30_seconds_to_10_minutes() -> None:
    assert pauses(0.5) == [30, 60, 120, 240, 480, 600, 600, 600, 600, 600]


def test_jitter_spreads_each_pause_by_its_share_both_ways() -> None:
    assert pauses(0.0)[0] == pytest.approx(24)
    assert pauses(0.999999)[0] == pytest.approx(36, abs=0.001)


def test_a_huge_count_of_tries_is_no_overflow() -> None:
    assert backoff(10**6, SETTINGS, lambda: 0.5).total_seconds() == 600


seconds = st.floats(0.01, 1e5)
shares = st.floats(0, 0.9)
tries = st.integers(1, 10**6)


def pause(attempts: int, settings: DeliverySettings, randomness: float) -> float:
    return backoff(attempts, settings, lambda: randomness).total_seconds()


@given(first=seconds, longest=seconds, attempts=tries)
def test_without_jitter_a_pause_never_shrinks_and_never_exceeds_the_longest(
    first: float, longest: float, attempts: int
) -> None:
    settings = DeliverySettings(first_backoff_s=first, maximum_backoff_s=longest, jitter=0)
    this, following = (pause(number, settings, 0.0) for number in (attempts, attempts + 1))
    assert min(first, longest) <= this + MICROSECOND
    assert this <= following <= longest + MICROSECOND


@given(longest=seconds, factor=st.floats(1, 1000), attempts=tries)
def test_a_first_pause_above_the_longest_is_cut_to_it(
    longest: float, factor: float, attempts: int
) -> None:
    settings = DeliverySettings(
        first_backoff_s=longest * factor, maximum_backoff_s=longest, jitter=0
    )
    assert pause(attempts, settings, 0.0) == pytest.approx(longest, abs=MICROSECOND)


@given(
    first=seconds,
    longest=seconds,
    jitter=shares,
    attempts=tries,
    randomness=st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_within_its_share_of_the_pause(
    first: float, longest: float, jitter: float, attempts: int, randomness: float
) -> None:
    settings = DeliverySettings(first_backoff_s=first, maximum_backoff_s=longest, jitter=jitter)
    middle = pause(attempts, settings, 0.5)
    jittered = pause(attempts, settings, randomness)
    assert abs(jittered - middle) <= jitter * middle + MICROSECOND


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
