"""Reference histograms: bins of equal weight, through a card and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from models.reference import BINS, MEASURES, Histogram, as_card, from_card, histogram_of

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


@given(numbers)
def test_a_histogram_counts_each_of_its_own_values_once(values: list[float]) -> None:
    made = histogram_of(values)
    assert sum(made.counts) == len(values)
    assert made.count(values).tolist() == list(made.counts)


def test_bins_hold_equally_many_of_distinct_values() -> None:
    made = histogram_of(np.random.default_rng(1).random(1000))
    assert made.counts == (1000 // BINS,) * BINS


def test_values_that_repeat_give_fewer_bins() -> None:
    assert histogram_of([5.0] * 50).counts == (0, 50)


def test_values_outside_the_reference_fall_into_the_outer_bins() -> None:
    made = Histogram((0.25, 0.75), (1, 1, 1))
    assert made.count([-9.0, 0.24, 0.25, 0.5, 0.75, 9.0]).tolist() == [2, 2, 2]


def test_a_card_gives_back_what_was_put_in() -> None:
    values = {name: np.random.default_rng(2).random(60) for name in MEASURES}
    assert from_card({"reference": as_card(values)}) == {
        name: histogram_of(values[name]) for name in MEASURES
    }


def test_a_card_without_a_reference_has_none() -> None:
    assert from_card({"name": "old"}) == {}


@pytest.mark.parametrize(
    ("edges", "counts"), [((1.0,), (1,)), ((2.0, 1.0), (1, 1, 1)), ((1.0,), (0, 0)), ((), (-1,))]
)
def test_a_histogram_that_contradicts_itself_is_refused(
    edges: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="histogram needs"):
        Histogram(edges, counts)


def test_nothing_has_no_histogram() -> None:
    with pytest.raises(ValueError, match="at least one"):
        histogram_of([])


@given(numbers)
def test_the_same_values_again_have_not_moved(values: list[float]) -> None:
    made = histogram_of(values)
    assert made.stability_index(values * 3) == pytest.approx(0.0)
    assert made.ks(values * 3) == pytest.approx(0.0)


def test_the_stability_index_of_a_worked_example() -> None:
    halves = Histogram((0.5,), (50, 50))
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert halves.stability_index([0.0, 1.0, 1.0, 1.0]) == pytest.approx(expected)


def test_an_empty_bin_gives_a_large_but_finite_index() -> None:
    assert 0.25 < Histogram((0.5,), (50, 50)).stability_index([1.0] * 100) < np.inf


def test_no_values_have_no_index() -> None:
    assert np.isnan(Histogram((0.5,), (50, 50)).stability_index([]))
    assert np.isnan(Histogram((0.5,), (50, 50)).ks([]))


def test_the_ks_is_scipys_when_every_value_has_its_bin() -> None:
    random = np.random.default_rng(5)
    first, second = random.integers(0, 20, 300), random.integers(3, 24, 200)
    counts = np.bincount(first, minlength=24)
    made = Histogram(tuple(float(edge) for edge in range(1, 24)), tuple(int(c) for c in counts))
    assert made.ks(second) == pytest.approx(ks_2samp(first, second).statistic)
