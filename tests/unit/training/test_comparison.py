"""Paired tests: against published figures, SciPy, the bootstrap, and what must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.unit.training.scores import scored
from training.statistics.comparison import delong, mcnemar, midranks, permutation_test
from training.statistics.figures import auc
from training.statistics.intervals import Rows, bootstrap

SINGLE = np.arange(400, dtype=np.int32)


def test_delongs_covariance_is_that_of_its_definition() -> None:
    """The plain way, pair by pair, by DeLong, DeLong & Clarke-Pearson 1988, equations 4 to 6."""
    scores, labels = scored(60, seed=1)
    first, second = np.round(scores, 1), np.round(scores + scored(60, seed=2)[0], 1)
    found = delong(first, second, labels)
    assert (found.first, found.second) == pytest.approx((auc(first, labels), auc(second, labels)))
    expected = _covariance_by_pairs(np.stack([first, second]), labels)
    assert np.array(found.covariance) == pytest.approx(expected)
    variance = expected[0, 0] + expected[1, 1] - 2 * expected[0, 1]
    z = (found.first - found.second) / np.sqrt(variance)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_delongs_interval_is_about_the_bootstraps_where_radiographs_are_independent() -> None:
    scores, labels = scored(400, seed=3)
    worse = scores + np.random.default_rng(4).normal(size=400)

    def difference(rows: Rows) -> float:
        return auc(scores[rows], labels[rows]) - auc(worse[rows], labels[rows])

    found = delong(scores, worse, labels).difference
    expected = bootstrap(difference, SINGLE, samples=2000)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.1)
    assert found.low == pytest.approx(expected.low, abs=0.02)


def test_delong_is_right_about_as_often_as_it_says_when_two_models_are_alike() -> None:
    """Two equally noisy models of the same signal: p below 0.05 in about one of twenty draws."""
    below = 0
    for seed in range(200):
        signal, labels = scored(120, seed)
        noise = np.random.default_rng(seed + 1000).normal(size=(2, 120))
        below += delong(signal + noise[0], signal + noise[1], labels).p < 0.05
    assert 2 <= below <= 20


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_models_that_rank_alike_do_not_differ(scale: float) -> None:
    scores, labels = scored(100, seed=5)
    found = delong(scores, scale * scores, labels)
    assert found.p == 1.0
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    groups = np.arange(100, dtype=np.int32)
    ranks = midranks(scores), midranks(scale * scores)
    assert permutation_test(auc, *ranks, labels, groups, samples=20) == 1.0


def test_delong_of_swapped_models_is_the_same_the_other_way_round() -> None:
    first, labels = scored(100, seed=6)
    second = first + scored(100, seed=7)[0]
    one, other = delong(first, second, labels), delong(second, first, labels)
    assert one.p == pytest.approx(other.p)
    assert one.difference.low == pytest.approx(-other.difference.high)


def test_delong_with_a_single_fracture_is_refused() -> None:
    labels = np.arange(10) == 3
    with pytest.raises(ValueError, match="two fractured and two other"):
        delong(np.arange(10.0), np.arange(10.0), labels)


def test_the_permutation_test_agrees_with_delong_on_independent_radiographs() -> None:
    scores, labels = scored(200, seed=8)
    worse = scores + 0.8 * np.random.default_rng(9).normal(size=200)
    expected = delong(scores, worse, labels).p
    groups = np.arange(200, dtype=np.int32)
    found = permutation_test(auc, midranks(scores), midranks(worse), labels, groups, samples=2000)
    assert 0.001 < expected < 0.2
    assert found == pytest.approx(expected, rel=0.5)


def test_the_permutation_test_of_a_plain_difference_is_scipys() -> None:
    scores, labels = scored(40, seed=10)
    other = scores + np.random.default_rng(11).normal(0.3, 1, 40)

    def mean(values: np.ndarray, _: np.ndarray) -> float:
        return float(values.mean())

    groups = np.arange(40, dtype=np.int32)
    found = permutation_test(mean, scores, other, labels, groups, samples=4000)
    expected = stats.permutation_test(
        (scores, other),
        lambda first, second: first.mean() - second.mean(),
        permutation_type="samples",
        n_resamples=4000,
        rng=np.random.default_rng(12),
    ).pvalue
    assert found == pytest.approx(expected, abs=0.03)


def test_swapping_whole_groups_is_less_sure_than_swapping_single_radiographs() -> None:
    """One model is better in one of eight patients, twenty-fold: that is one observation."""
    _, labels = scored(160, seed=13)
    groups = np.arange(160, dtype=np.int32) // 20
    better = labels.astype(np.float64)
    worse = np.where(groups == 0, 0.5, better)
    single = permutation_test(auc, better, worse, labels, np.arange(160, dtype=np.int32))
    assert single < 0.01
    assert permutation_test(auc, better, worse, labels, groups) > 0.5


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"), [(0, 6, 0.03125), (5, 15, 0.04139), (4, 4, 1.0)]
)
def test_mcnemars_exact_p_is_the_binomial_tail(
    only_first: int, only_second: int, expected: float
) -> None:
    """2 · Σ C(n, k) / 2ⁿ for k up to the smaller count, at most 1."""
    labels = np.ones(40, np.bool_)
    first = np.arange(40) < only_first
    second = (np.arange(40) >= only_first) & (np.arange(40) < only_first + only_second)
    found = mcnemar(first, second, labels)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(expected, abs=1e-5)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_model_does_not_differ_from_itself(rows: list[tuple[bool, bool]]) -> None:
    called, labels = np.array(rows).T
    found = mcnemar(called, called, labels)
    assert (found.only_first, found.only_second, found.p) == (0, 0, 1.0)


def _covariance_by_pairs(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    wins = [
        (one[labels][:, None] > one[~labels]) + 0.5 * (one[labels][:, None] == one[~labels])
        for one in scores
    ]
    of_positives = np.cov([win.mean(axis=1) for win in wins])
    of_negatives = np.cov([win.mean(axis=0) for win in wins])
    return of_positives / labels.sum() + of_negatives / (~labels).sum()
