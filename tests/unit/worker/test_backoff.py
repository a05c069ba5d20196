"""Pauses between two tries of a delivery."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery import backoff
from worker.settings import DeliverySettings

SETTINGS = DeliverySettings(first_backoff_s=30, maximum_backoff_s=600)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (10, 600)]
)
def test_the_pause_doubles_up_to_the_longest(attempts: int, seconds: int) -> None:
    assert backoff(attempts, SETTINGS) == timedelta(seconds=seconds)


def test_a_first_pause_above_the_longest_is_cut() -> None:
    settings = DeliverySettings(first_backoff_s=900, maximum_backoff_s=600)
    assert backoff(1, settings) == timedelta(seconds=600)


@given(st.integers(1, 10**9), st.floats(0.001, 10**6), st.floats(0.001, 10**6))
def test_no_number_of_tries_makes_the_pause_shorter_or_too_long(
    attempts: int, first: float, longest: float
) -> None:
    settings = DeliverySettings(first_backoff_s=first, maximum_backoff_s=longest)
    pause = backoff(attempts, settings)
    assert timedelta(0) < pause <= timedelta(seconds=longest)
    assert pause <= backoff(attempts + 1, settings)
