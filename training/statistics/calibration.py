"""Do probabilities mean what they say: fitting on validation data, and measuring."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from models.calibration import Calibration
from training.errors import RunError
from training.statistics.figures import Labels, Scores

BINS = 10


class Binning(StrEnum):
    """How probabilities are put into bins."""

    EQUAL_WIDTH = "equal width"
    """[0, 0.1), [0.1, 0.2), …"""
    EQUAL_MASS = "equal mass"
    """As many radiographs in each, equal probabilities in one."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One line of a reliability table: what was said on average, and how often it came true."""

    count: int
    probability: float
    fractured: float


def fit_calibration(logits: Scores, labels: Labels) -> Calibration:
    """Platt scaling on validation data (Platt 1999, section 2.2).

    Each example stands in the fit as both labels, weighted by Platt's smoothed target and its
    complement: labels that the logits part cleanly then still give a finite slope.

    Raises:
        RunError: the slope is not positive (a network no better than chance).
    """
    fractured, others = np.count_nonzero(labels), np.count_nonzero(~labels)
    targets = np.where(labels, (fractured + 1) / (fractured + 2), 1 / (others + 2))
    fitted = LogisticRegression(C=1e6).fit(
        np.tile(logits, 2)[:, np.newaxis],
        np.repeat([True, False], len(labels)),
        sample_weight=np.concatenate([targets, 1.0 - targets]),
    )
    scale, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if not scale > 0:
        raise RunError(
            f"the network does not rank fractures higher on validation data (slope {scale:.3g}): "
            "check labels and weights, or train longer"
        )
    return Calibration(scale, offset)


def fit_temperature(logits: Scores, labels: Labels) -> Calibration:
    """Temperature scaling on validation data (Guo et al. 2017, section 4.2): the scale 1/T with the
    least cross-entropy, offset 0. It cannot mend a prevalence that training changed; Platt can."""
    against_label = np.where(labels, -logits, logits)

    def cross_entropy(log_scale: float) -> float:
        return float(np.logaddexp(0.0, np.exp(log_scale) * against_label).mean())

    found = minimize_scalar(cross_entropy, bounds=(-7.0, 7.0), method="bounded")
    return Calibration(float(np.exp(found.x)), 0.0)


def brier(probabilities: Scores, labels: Labels) -> float:
    """Mean squared difference of probability and label (Brier 1950), 0 is best."""
    return float(np.square(probabilities - labels).mean())


def reliability(
    probabilities: Scores, labels: Labels, binning: Binning, bins: int = BINS
) -> list[Bin]:
    """Bins in ascending order; empty ones are left out."""
    numbers = _bin_numbers(probabilities, binning, bins)
    return [
        Bin(
            int(np.count_nonzero(chosen)),
            float(probabilities[chosen].mean()),
            float(labels[chosen].mean()),
        )
        for chosen in (numbers == number for number in np.unique(numbers))
    ]


def calibration_error(
    probabilities: Scores, labels: Labels, binning: Binning, bins: int = BINS
) -> float:
    """Expected calibration error (Naeini et al. 2015): mean distance of probability and frequency
    over bins, weighted by their size. It depends on the binning: always state it."""
    table = reliability(probabilities, labels, binning, bins)
    distances = [one.count * abs(one.probability - one.fractured) for one in table]
    return sum(distances) / len(labels)


def _bin_numbers(probabilities: Scores, binning: Binning, bins: int) -> npt.NDArray[np.int64]:
    if binning is Binning.EQUAL_WIDTH:
        return np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    last_of_bin = -(-np.arange(1, bins) * len(probabilities) // bins) - 1
    return np.searchsorted(np.sort(probabilities)[last_of_bin], probabilities, "left")
