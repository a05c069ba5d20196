"""The choice of operating points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.statistics.figures import sensitivity, specificity
from training.statistics.operating_points import choose_operating_points


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
