"""Intervals: they contain, cover, widen with clusters, and agree with SciPy."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import stats

from tests.unit.training.scores import scored
from training.statistics.figures import Labels, Scores, auc, sensitivity
from training.statistics.intervals import Method, Rows, bootstrap, wilson, with_interval


@pytest.mark.parametrize("figure", [auc, partial(sensitivity, threshold=0.4)], ids=["auc", "sens"])
def test_an_interval_contains_its_value_and_is_reproducible(
    figure: Callable[[Scores, Labels], float],
) -> None:
    scores, labels = scored(300, seed=1)
    groups = np.arange(300, dtype=np.int32) // 5
    estimate = with_interval(figure, scores, labels, groups, samples=200)
    assert estimate.value == figure(scores, labels)
    assert estimate.low < estimate.value < estimate.high
    assert estimate == with_interval(figure, scores, labels, groups, samples=200)


def test_an_interval_is_wider_with_fewer_groups() -> None:
    """The same scores, once as independent radiographs and once as 15 clusters of like ones."""
    scores, labels = scored(300, seed=2)
    order = np.lexsort((scores, labels))  # neighbours alike, as one patient's radiographs are
    scores, labels = scores[order], labels[order]
    many = with_interval(auc, scores, labels, np.arange(300, dtype=np.int32), samples=300)
    few = with_interval(auc, scores, labels, np.arange(300, dtype=np.int32) // 20, samples=300)
    assert few.value == many.value
    assert few.high - few.low > 1.5 * (many.high - many.low)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """A unit normal about 1 reaches 0.5 with probability Φ(0.5) = 0.6915."""
    figure, groups = partial(sensitivity, threshold=0.5), np.arange(150, dtype=np.int32)
    covered = 0
    for seed in range(40):
        scores, labels = scored(150, seed)
        estimate = with_interval(figure, scores, labels, groups, samples=150)
        covered += estimate.low <= 0.6915 <= estimate.high
    assert 33 <= covered < 40


@pytest.mark.parametrize("label", [True, False])
def test_an_interval_without_both_labels_is_refused_and_does_not_run_for_ever(label: bool) -> None:
    with pytest.raises(ValueError, match="needs fractured and other radiographs"):
        with_interval(auc, np.zeros(4), np.full(4, label), np.arange(4, dtype=np.int32))


def test_resamples_without_both_labels_are_drawn_again() -> None:
    """One of three groups holds all fractures: without it no figure can be had."""
    labels = np.array([True, False, False, False])
    groups = np.array([0, 0, 1, 2], np.int32)
    estimate = with_interval(auc, np.array([0.9, 0.1, 0.2, 0.3]), labels, groups, samples=50)
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("method", list(Method))
def test_intervals_of_single_radiographs_are_scipys(method: Method) -> None:
    """A skewed sample, so that the two methods differ by more than chance does."""
    values = np.random.default_rng(1).exponential(size=60)

    def mean(rows: Rows) -> float:
        return float(values[rows].mean())

    found = bootstrap(mean, np.arange(60, dtype=np.int32), method=method, samples=20_000)
    expected = stats.bootstrap(
        (values,), np.mean, method=str(method), n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.01)


def test_bca_of_a_skewed_sample_lies_higher_than_the_percentiles() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    percentile, bca = (
        bootstrap(
            lambda rows: float(values[rows].mean()),
            np.arange(60, dtype=np.int32),
            method=method,
            samples=5000,
        )
        for method in (Method.PERCENTILE, Method.BCA)
    )
    assert bca.low > percentile.low
    assert bca.high > percentile.high


def test_bca_of_a_figure_without_spread_is_that_figure() -> None:
    groups = np.arange(5, dtype=np.int32)
    estimate = bootstrap(lambda _: 1.0, groups, method=Method.BCA, samples=20)
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 1.0, 1.0)


def test_two_models_that_differ_little_differ_surely_on_the_same_radiographs() -> None:
    """Each area by itself is unsure; their difference is resampled in pairs and is not."""
    scores, labels = scored(400, seed=3)
    worse = scores + 1.2 * np.random.default_rng(4).normal(size=400)
    groups = np.arange(400, dtype=np.int32) // 2

    def difference(rows: Rows) -> float:
        return auc(scores[rows], labels[rows]) - auc(worse[rows], labels[rows])

    first, second = (
        with_interval(auc, one, labels, groups, samples=300) for one in (scores, worse)
    )
    assert first.low < second.high
    assert bootstrap(difference, groups, samples=300).low > 0


def test_a_figure_that_no_resample_defines_is_refused_and_does_not_run_for_ever() -> None:
    with pytest.raises(ValueError, match="undefined in most resamples of 3 groups"):
        bootstrap(lambda _: float("nan"), np.arange(3, dtype=np.int32), samples=5)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_that_of_newcombes_table(
    successes: int, count: int, low: float, high: float
) -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I, method 3."""
    found = wilson(successes, count)
    assert found.value == successes / count
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_proportion_of_nothing_is_no_number_and_can_be_anything() -> None:
    found = wilson(0, 0)
    assert np.isnan(found.value)
    assert (found.low, found.high) == (0.0, 1.0)
