"""Figures of a binary classifier with their uncertainty: pure functions of scores and labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from models.calibration import Calibration
from models.prediction import OperatingPoints
from training.errors import RunError

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int32]

BOOTSTRAP_SAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval (cluster bootstrap over groups, percentile method)."""

    value: float
    low: float
    high: float


def auc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve; labels true = fractured, higher score = more likely fractured."""
    return float(roc_auc_score(labels, scores))


def sensitivity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of the fractured with score ≥ threshold."""
    return float((scores[labels] >= threshold).mean())


def specificity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of the not fractured with score < threshold."""
    return float((scores[~labels] < threshold).mean())


def with_interval(
    figure: Callable[[Scores, Labels], float],
    scores: Scores,
    labels: Labels,
    groups: Groups,
    *,
    seed: int = 0,
    samples: int = BOOTSTRAP_SAMPLES,
) -> Estimate:
    """`figure` with an interval that resamples whole groups: neighbours are not independent.

    Raises:
        ValueError: `labels` are all alike, so that no resample could show both.
    """
    if labels.all() or not labels.any():
        raise ValueError("an interval needs fractured and other radiographs")
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values: list[float] = []
    while len(values) < samples:
        drawn = random.integers(len(members), size=len(members))
        rows = np.concatenate([members[index] for index in drawn])
        if labels[rows].any() and not labels[rows].all():
            values.append(figure(scores[rows], labels[rows]))
    low, high = np.percentile(values, (2.5, 97.5))
    return Estimate(figure(scores, labels), float(low), float(high))


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


def choose_operating_points(
    probabilities: Scores, labels: Labels, *, sensitivity_goal: float, specificity_goal: float
) -> OperatingPoints:
    """Thresholds on validation data: the highest with sensitivity ≥ its goal ("sensitive") and the
    lowest with specificity ≥ its goal ("specific"), never below the sensitive one."""
    fractured = np.sort(probabilities[labels])
    found_at_least = _least_count(sensitivity_goal, len(fractured))
    sensitive = float(fractured[len(fractured) - found_at_least])
    healthy = np.sort(probabilities[~labels])
    below_at_least = _least_count(specificity_goal, len(healthy))
    specific = float(np.nextafter(healthy[below_at_least - 1], 1.0))
    return OperatingPoints(sensitive, max(sensitive, specific))


def _least_count(goal: float, count: int) -> int:
    """The least k ≥ 1 with k / count ≥ goal; (1 − 0.9) · 10 is just below 1 in floating point."""
    return next(k for k in range(1, count + 1) if k / count >= goal)
