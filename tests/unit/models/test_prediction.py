"""Operating points and calibration: from a logit to what it means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import Calibration
from models.prediction import ModelIdentity, OperatingPoint, OperatingPoints

POINTS = OperatingPoints(sensitive=0.2, specific=0.7)
LOGITS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("sensitive", "specific"),
    [(-0.1, 0.5), (0.5, 1.1), (0.7, 0.6), (math.nan, 0.5), (0.5, math.nan), (0.1, math.inf)],
)
def test_operating_points_out_of_order_or_range_are_refused(
    sensitive: float, specific: float
) -> None:
    with pytest.raises(ValueError, match="0 ≤ sensitive ≤ specific ≤ 1") as refusal:
        OperatingPoints(sensitive, specific)
    assert str(sensitive) in str(refusal.value)
    assert str(specific) in str(refusal.value)


@pytest.mark.parametrize(("sensitive", "specific"), [(0.0, 0.0), (0.0, 1.0), (0.4, 0.4), (1, 1)])
def test_operating_points_may_touch_each_other_and_the_ends(
    sensitive: float, specific: float
) -> None:
    assert OperatingPoints(sensitive, specific).sensitive == sensitive


@pytest.mark.parametrize(
    ("probability", "crossed"),
    [
        (0.0, None),
        (np.nextafter(0.2, 0), None),
        (0.2, OperatingPoint.SENSITIVE),
        (np.nextafter(0.7, 0), OperatingPoint.SENSITIVE),
        (0.7, OperatingPoint.SPECIFIC),
        (1.0, OperatingPoint.SPECIFIC),
    ],
)
def test_reaching_an_operating_point_crosses_it(
    probability: float, crossed: OperatingPoint | None
) -> None:
    assert POINTS.crossed(probability) is crossed


@pytest.mark.parametrize("probability", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused_and_never_reads_as_negative(probability: float) -> None:
    with pytest.raises(ValueError, match="not a probability"):
        POINTS.crossed(probability)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_probability_never_crosses_less(first: float, second: float) -> None:
    order = [None, OperatingPoint.SENSITIVE, OperatingPoint.SPECIFIC]
    low, high = sorted((first, second))
    assert order.index(POINTS.crossed(low)) <= order.index(POINTS.crossed(high))


def test_calibration_is_the_sigmoid_of_the_scaled_logit() -> None:
    calibration = Calibration(scale=2.0, offset=-1.0)
    assert calibration.probability([0.5, 0.0, 2.0]) == pytest.approx(
        [0.5, 1 / (1 + math.e), 1 / (1 + math.exp(-3))]
    )


@given(LOGITS, LOGITS, st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_calibration_never_turns_the_order_round(
    first: float, second: float, scale: float, offset: float
) -> None:
    low, high = Calibration(scale, offset).probability(sorted((first, second)))
    assert 0.0 <= low <= high <= 1.0


def test_calibration_is_strictly_monotone_where_logits_live() -> None:
    probabilities = Calibration(0.6, -1.7).probability(np.linspace(-20, 20, 2001))
    assert (np.diff(probabilities) > 0).all()


def test_extreme_logits_give_finite_probabilities_without_a_warning() -> None:
    with np.errstate(all="raise"):
        probabilities = Calibration(3.0, 1.0).probability([-np.inf, -1e300, 1e300, np.inf])
    assert probabilities == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-20)


def test_probabilities_have_the_shape_of_the_logits() -> None:
    assert Calibration().probability(np.zeros((2, 3), np.float32)).shape == (2, 3)
    assert Calibration().probability(0.0).shape == ()


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan), (1.0, -math.inf)],
)
def test_a_calibration_that_turns_the_order_round_or_is_not_finite_is_refused(
    scale: float, offset: float
) -> None:
    with pytest.raises(ValueError, match="positive finite scale and a finite offset"):
        Calibration(scale, offset)


def test_a_model_is_called_by_name_and_version() -> None:
    assert ModelIdentity("fracture-net", "2.0.1", "ab" * 32).label == "fracture-net 2.0.1"
