"""Agreement of readers: the worked examples of the papers that define it."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from training.statistics.agreement import Weights, cohen_kappa, fleiss_kappa, icc

FLEISS_1971 = np.array(
    [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]
)  # fmt: skip
"""14 readers, 10 cases, 5 grades: the example by which Fleiss' kappa is usually shown (0.210)."""

SHROUT_FLEISS_1979 = np.array(
    [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)],
    np.float64,
)
"""Shrout & Fleiss 1979, table 2: six cases, four judges."""


def test_cohens_kappa_of_a_worked_table() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: (0.7 − 0.5) / (1 − 0.5)."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)


@pytest.mark.parametrize(("weights", "power"), [(Weights.LINEAR, 1), (Weights.QUADRATIC, 2)])
def test_weighted_kappa_is_one_minus_the_weighted_disagreement_over_chance(
    weights: Weights, power: int
) -> None:
    random = np.random.default_rng(1)
    first = random.integers(0, 3, 80)
    second = np.clip(first + random.integers(-1, 2, 80), 0, 2)
    observed = (np.abs(first - second) ** power).mean()
    by_chance = (np.abs(first[:, None] - second) ** power).mean()
    assert cohen_kappa(first, second, weights) == pytest.approx(1 - observed / by_chance)


def test_readers_that_agree_fully_have_a_kappa_of_one_and_one_grade_alone_gives_none() -> None:
    assert cohen_kappa([0, 1, 2], [0, 1, 2], Weights.QUADRATIC) == 1.0
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))


def test_fleiss_kappa_of_its_known_example() -> None:
    assert fleiss_kappa(FLEISS_1971) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_of_two_readers_is_scotts_pi_and_near_cohens() -> None:
    random = np.random.default_rng(2)
    first = random.integers(0, 2, 200)
    second = np.where(random.random(200) < 0.8, first, 1 - first)
    counts = np.stack([2 - first - second, first + second], axis=1)
    assert fleiss_kappa(counts) == pytest.approx(cohen_kappa_score(first, second), abs=0.01)
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))


@pytest.mark.parametrize("counts", [[[2, 0], [1, 2]], [[1, 0], [0, 1]]])
def test_fleiss_kappa_of_missing_or_single_readers_is_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="same two or more readers"):
        fleiss_kappa(np.array(counts))


def test_the_intraclass_correlation_is_that_of_shrout_and_fleiss() -> None:
    assert icc(SHROUT_FLEISS_1979) == pytest.approx(0.29, abs=5e-3)


def test_a_reader_who_is_always_one_grade_higher_lowers_absolute_agreement() -> None:
    grades = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [1.0, 1.0]])
    assert icc(grades) == pytest.approx(1.0)
    assert icc(grades + np.array([0, 1])) < 0.7
    assert np.isnan(icc(np.ones((3, 2))))
