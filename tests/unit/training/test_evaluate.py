"""Figures on hand-made scores, intervals, calibration and the choice of operating points."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import RunError
from training.evaluate import (
    Labels,
    Scores,
    auc,
    choose_operating_points,
    fit_calibration,
    sensitivity,
    specificity,
    with_interval,
)

SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.8, 0.2])
LABELS = np.array([False, False, True, True, False, True])


def test_the_area_under_the_curve_counts_the_pairs_in_order_and_ties_as_half() -> None:
    """Of 9 pairs 0.35 beats 0.1, 0.8 beats 0.1 and 0.4 and ties 0.8, 0.2 beats 0.1."""
    assert auc(SCORES, LABELS) == pytest.approx((1 + 2.5 + 1) / 9)
    assert auc(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert auc(np.array([0.9, 0.1]), np.array([False, True])) == 0.0


@pytest.mark.parametrize(
    ("threshold", "found", "spared"),
    [(0.0, 3, 0), (0.2, 3, 1), (0.21, 2, 1), (0.35, 2, 1), (0.8, 1, 2), (0.81, 0, 3)],
)
def test_reaching_the_threshold_counts_as_found_and_staying_below_as_spared(
    threshold: float, found: int, spared: int
) -> None:
    assert sensitivity(SCORES, LABELS, threshold) == pytest.approx(found / 3)
    assert specificity(SCORES, LABELS, threshold) == pytest.approx(spared / 3)


@pytest.mark.parametrize("figure", [auc, partial(sensitivity, threshold=0.4)], ids=["auc", "sens"])
def test_an_interval_contains_its_value_and_is_reproducible(
    figure: Callable[[Scores, Labels], float],
) -> None:
    scores, labels = _scored(300, seed=1)
    groups = np.arange(300, dtype=np.int32) // 5
    estimate = with_interval(figure, scores, labels, groups, samples=200)
    assert estimate.value == figure(scores, labels)
    assert estimate.low < estimate.value < estimate.high
    assert estimate == with_interval(figure, scores, labels, groups, samples=200)


def test_an_interval_is_wider_with_fewer_groups() -> None:
    """The same scores, once as independent radiographs and once as 15 clusters of like ones."""
    scores, labels = _scored(300, seed=2)
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
        scores, labels = _scored(150, seed)
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


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.6, -1.7), (2.5, 1.0)])
def test_calibration_recovers_the_parameters_that_labels_were_drawn_with(
    scale: float, offset: float
) -> None:
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, 20_000)
    labels = random.random(20_000) < 1 / (1 + np.exp(-(scale * logits + offset)))
    calibration = fit_calibration(logits, labels)
    assert calibration.scale == pytest.approx(scale, rel=0.06)
    assert calibration.offset == pytest.approx(offset, abs=0.08)


def test_calibrated_probabilities_are_as_frequent_as_they_say() -> None:
    random = np.random.default_rng(6)
    logits = random.normal(0, 2, 20_000)
    labels = random.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    probabilities = fit_calibration(logits, labels).probability(logits)
    for low in (0.1, 0.3, 0.5):
        chosen = (probabilities >= low) & (probabilities < low + 0.2)
        assert labels[chosen].mean() == pytest.approx(probabilities[chosen].mean(), abs=0.03)


def test_labels_that_the_logits_part_cleanly_give_platts_targets_and_no_certainty() -> None:
    """Maximum likelihood would send the slope to infinity; Platt's targets are (n+1)/(n+2)."""
    logits = np.array([-1.0] * 8 + [1.0] * 8)
    probabilities = fit_calibration(logits, logits > 0).probability([-1.0, 1.0])
    assert probabilities == pytest.approx([0.1, 0.9], abs=1e-3)


def test_a_network_that_ranks_the_wrong_way_round_is_refused() -> None:
    scores, labels = _scored(100, seed=3)
    with pytest.raises(RunError, match="does not rank fractures higher"):
        fit_calibration(-scores, labels)


def test_a_network_that_says_the_same_of_all_is_refused() -> None:
    with pytest.raises(RunError, match="does not rank fractures higher"):
        fit_calibration(np.zeros(20), np.arange(20) % 2 == 0)


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=60),
    st.lists(st.integers(0, 99), min_size=1, max_size=60),
    st.sampled_from([0.8, 0.85, 0.9, 0.95, 0.97]),
    st.sampled_from([0.5, 0.7, 0.9, 0.95, 0.99]),
)
def test_operating_points_meet_their_goals_on_the_data_they_were_chosen_on(
    fractured: list[int], others: list[int], sensitivity_goal: float, specificity_goal: float
) -> None:
    probabilities = np.array([*fractured, *others]) / 100
    labels = np.arange(len(probabilities)) < len(fractured)
    points = choose_operating_points(
        probabilities, labels, sensitivity_goal=sensitivity_goal, specificity_goal=specificity_goal
    )
    assert sensitivity(probabilities, labels, points.sensitive) >= sensitivity_goal
    assert specificity(probabilities, labels, points.specific) >= specificity_goal
    higher = np.nextafter(points.sensitive, 1)
    assert sensitivity(probabilities, labels, higher) < sensitivity_goal
    if points.specific > points.sensitive:
        lower = np.nextafter(points.specific, 0)
        assert specificity(probabilities, labels, lower) < specificity_goal


@pytest.mark.parametrize(("count", "missed"), [(10, 1), (20, 2), (30, 3), (100, 10), (9, 0)])
def test_ninety_percent_sensitivity_lets_every_tenth_fracture_go(count: int, missed: int) -> None:
    """(1 − 0.9) · 10 is 0.9999999999999998, which is not yet one."""
    probabilities = np.append(np.linspace(0.2, 0.8, count), 0.1)
    labels = np.arange(count + 1) < count
    points = choose_operating_points(
        probabilities, labels, sensitivity_goal=0.9, specificity_goal=0.95
    )
    assert (probabilities[labels] < points.sensitive).sum() == missed


def test_the_specific_point_is_never_below_the_sensitive_one() -> None:
    """A network that parts the labels cleanly meets both goals at once."""
    probabilities = np.array([0.1, 0.2, 0.8, 0.9])
    points = choose_operating_points(
        probabilities,
        np.array([False, False, True, True]),
        sensitivity_goal=0.9,
        specificity_goal=0.95,
    )
    assert points.sensitive == points.specific == 0.8


def _scored(count: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Unit normals, the fractured third one higher."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    return random.normal(size=count) + labels, labels
