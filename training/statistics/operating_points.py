"""The choice of both operating points on validation data."""

import numpy as np

from models.prediction import OperatingPoints
from training.statistics.figures import Labels, Scores


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
