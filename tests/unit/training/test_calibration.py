"""Probabilities: fitted as they were drawn, and measured as scikit-learn measures them."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from tests.unit.training.scores import scored
from training.errors import RunError
from training.statistics.calibration import (
    Binning,
    brier,
    calibration_error,
    fit_calibration,
    reliability,
)


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
    scores, labels = scored(100, seed=3)
    with pytest.raises(RunError, match="does not rank fractures higher"):
        fit_calibration(-scores, labels)


def test_a_network_that_says_the_same_of_all_is_refused() -> None:
    with pytest.raises(RunError, match="does not rank fractures higher"):
        fit_calibration(np.zeros(20), np.arange(20) % 2 == 0)


def test_the_brier_score_is_scikit_learns() -> None:
    probabilities, labels = _drawn(500)
    assert brier(probabilities, labels) == pytest.approx(brier_score_loss(labels, probabilities))


@pytest.mark.parametrize(
    ("binning", "strategy"), [(Binning.EQUAL_WIDTH, "uniform"), (Binning.EQUAL_MASS, "quantile")]
)
def test_a_reliability_table_is_scikit_learns_calibration_curve(
    binning: Binning, strategy: str
) -> None:
    """1001 differing probabilities: scikit-learn's interpolated quantiles then part them alike."""
    probabilities, labels = _drawn(1001)
    table = reliability(probabilities, labels, binning)
    frequencies, means = calibration_curve(labels, probabilities, n_bins=10, strategy=strategy)
    assert [one.fractured for one in table] == pytest.approx(frequencies, abs=0.01)
    assert [one.probability for one in table] == pytest.approx(means, abs=0.01)
    assert sum(one.count for one in table) == 1001


def test_bins_of_equal_mass_hold_as_many_each_and_never_part_equal_probabilities() -> None:
    probabilities = np.arange(100) / 100
    labels = np.zeros(100, np.bool_)
    table = reliability(probabilities, labels, Binning.EQUAL_MASS)
    assert [one.count for one in table] == [10] * 10
    tied = np.repeat([0.1, 0.5, 0.9], [70, 20, 10])
    table = reliability(tied, labels, Binning.EQUAL_MASS)
    assert [one.probability for one in table] == pytest.approx([0.1, 0.5, 0.9])


def test_a_certain_probability_falls_into_the_last_bin() -> None:
    (only,) = reliability(np.array([1.0, 0.95]), np.array([True, True]), Binning.EQUAL_WIDTH)
    assert only.count == 2


def test_the_calibration_error_of_a_hand_made_table() -> None:
    """Eight at 0.2 of which half are fractured, two at 0.9 which are: 0.8 · 0.3 + 0.2 · 0.1."""
    probabilities = np.array([0.2] * 8 + [0.9] * 2)
    labels = np.array([True, False] * 4 + [True] * 2)
    found = calibration_error(probabilities, labels, Binning.EQUAL_WIDTH)
    assert found == pytest.approx(0.8 * 0.3 + 0.2 * 0.1)


@pytest.mark.parametrize("binning", list(Binning))
def test_probabilities_that_are_too_sure_have_a_larger_calibration_error(binning: Binning) -> None:
    probabilities, labels = _drawn(20_000)
    logits = np.log(probabilities / (1 - probabilities))
    sure = 1 / (1 + np.exp(-2 * logits))
    assert calibration_error(probabilities, labels, binning) < 0.02
    assert calibration_error(sure, labels, binning) > 0.08


def _drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels that come true as often."""
    random = np.random.default_rng(7)
    probabilities = random.random(count)
    return probabilities, random.random(count) < probabilities
