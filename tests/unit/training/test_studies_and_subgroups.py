"""Figures per study and per subgroup."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.scores import scored
from training.statistics.figures import auc
from training.statistics.intervals import with_interval
from training.statistics.studies import Aggregation, aggregate
from training.statistics.subgroups import subgroup_table

STUDIES = ["b", "a", "b", "c"]
PROBABILITIES = np.array([0.5, 0.2, 0.9, 0.4])
LABELS = np.array([False, False, True, False])


@pytest.mark.parametrize(
    ("how", "of_b"),
    [(Aggregation.MAXIMUM, 0.9), (Aggregation.MEAN, 0.7), (Aggregation.NOISY_OR, 0.95)],
)
def test_a_study_is_fractured_where_one_view_is_and_keeps_its_first_radiograph(
    how: Aggregation, of_b: float
) -> None:
    probabilities, labels, first = aggregate(PROBABILITIES, LABELS, STUDIES, how)
    assert probabilities == pytest.approx([0.2, of_b, 0.4])
    assert labels.tolist() == [False, True, False]
    assert first.tolist() == [1, 0, 3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_mean_is_at_most_the_maximum_and_that_at_most_the_noisy_or(views: list[float]) -> None:
    values = [
        aggregate(np.array(views), np.zeros(len(views), np.bool_), ["s"] * len(views), how)[0][0]
        for how in (Aggregation.MEAN, Aggregation.MAXIMUM, Aggregation.NOISY_OR)
    ]
    assert values[0] <= values[1] + 1e-12
    assert values[1] <= values[2] + 1e-12
    assert min(values) >= 0
    assert max(values) <= 1


def test_a_radiograph_without_a_study_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a study"):
        aggregate(PROBABILITIES, LABELS, ["a", "", "b", "c"], Aggregation.MAXIMUM)


def test_a_subgroups_line_is_its_own_figure_and_the_largest_comes_first() -> None:
    scores, labels = scored(300, seed=1)
    groups = np.arange(300, dtype=np.int32) // 4
    values = ["leg" if number < 200 else "hand" for number in range(300)]
    leg, hand = subgroup_table(auc, scores, labels, groups, values, samples=50)
    assert (leg.value, leg.radiographs, leg.fractured, leg.groups) == ("leg", 200, 67, 50)
    assert (hand.value, hand.radiographs, hand.remark) == ("hand", 100, "")
    assert hand.estimate == with_interval(auc, scores[200:], labels[200:], groups[200:], samples=50)


@pytest.mark.parametrize(
    ("count", "per_group", "remark"),
    [
        (24, 1, "too small: 8 fractured radiographs in 8 groups"),
        (60, 30, "too small: 20 fractured radiographs in 2 groups"),
    ],
)
def test_a_subgroup_that_is_too_small_says_so_instead_of_a_figure(
    count: int, per_group: int, remark: str
) -> None:
    scores, labels = scored(count, seed=2)
    groups = np.arange(count, dtype=np.int32) // per_group
    (only,) = subgroup_table(auc, scores, labels, groups, ["hip"] * count, samples=20)
    assert only.estimate is None
    assert only.remark == remark
