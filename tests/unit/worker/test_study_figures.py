"""Figures per study: simulated from rates per radiograph."""

from dataclasses import astuple

import numpy as np
import pytest

from models.bundle import load_bundle
from models.shipped import DEFAULT_BUNDLE
from worker.model_card import model_card
from worker.study_figures import StudySimulation


def rate(value: float, half: float = 0.04) -> dict[str, float | None]:
    return {"value": value, "low": value - half, "high": value + half}


POINTS = {
    "sensitive": {"sensitivity": rate(0.94), "specificity": rate(0.49)},
    "specific": {"sensitivity": rate(0.74), "specificity": rate(0.95)},
}
SIMULATION = StudySimulation(POINTS)


def test_a_study_of_one_radiograph_has_that_radiographs_figures() -> None:
    with_fracture, without = SIMULATION.flagged(1, 1), SIMULATION.flagged(1, 0)
    assert with_fracture.likely.value == pytest.approx(0.74)
    assert with_fracture.any.value == pytest.approx(0.94)
    assert without.likely.value == pytest.approx(0.05)
    assert without.any.value == pytest.approx(0.51)
    assert astuple(with_fracture.likely)[1:] == pytest.approx((0.70, 0.78), abs=0.01)


def test_more_radiographs_mean_more_flags() -> None:
    shares = [SIMULATION.flagged(count, 0).any.value for count in (1, 2, 3, 4)]
    assert shares == sorted(shares)
    assert shares[3] == pytest.approx(1 - 0.49**4)


def test_predictive_values_agree_with_counting_drawn_studies() -> None:
    random = np.random.default_rng(7)
    studies, radiographs, prevalence = 400_000, 3, 0.1
    fractured = random.random(studies) < prevalence
    shows = np.zeros((studies, radiographs), np.bool_)
    shows[fractured, 0] = True
    level = random.random((studies, radiographs))  # one draw decides both operating points
    likely = (level < np.where(shows, 0.74, 0.05)).any(axis=1)
    flagged = (level < np.where(shows, 0.94, 0.51)).any(axis=1)
    found = SIMULATION.predictive_values(radiographs, prevalence)
    assert found.likely.value == pytest.approx(fractured[likely].mean(), abs=0.01)
    assert found.possible.value == pytest.approx(fractured[flagged & ~likely].mean(), abs=0.01)
    assert found.negative.value == pytest.approx((~fractured[~flagged]).mean(), abs=0.01)
    for share in (found.likely, found.possible, found.negative):
        assert share.low < share.value < share.high


def test_a_rate_that_is_not_known_is_refused() -> None:
    unknown = {**POINTS, "specific": {**POINTS["specific"], "sensitivity": {"value": None}}}
    with pytest.raises(ValueError, match="not known"):
        StudySimulation(unknown)


def test_the_shipped_card_says_how_often_a_likely_fracture_is_one() -> None:
    text = model_card(load_bundle(DEFAULT_BUNDLE))
    assert "| 10 % | 1 | 62 % (" in text
    assert "simulated, not measured" in text
    assert "100 %" not in text
