"""Fits the head that tells radiographs that lie on their side (`models.position`)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from models.position import PositionHead
from models.prediction import FloatArray

TURNS = (0, 90, 180, 270)
"""Degrees, anticlockwise, in which each radiograph is shown."""
FOLDS = 5
"""Of groups of radiographs, each of which is judged by a head that learned from the others."""

_LIES = np.array([False, True, False, True])
_SHRINKAGE = 0.02
"""scikit-learn's C of standardised features: 160 features of some thousand alike radiographs."""
_CONSTANT = 1e-6


def fit_position(shares: FloatArray) -> PositionHead:
    """Fit the head to the feature shares (n, 4, K) of radiographs in each of `TURNS`."""
    rows = shares.reshape(-1, shares.shape[-1]).astype(np.float64)
    mean, deviation = rows.mean(axis=0), np.maximum(rows.std(axis=0), _CONSTANT)
    fitted = LogisticRegression(C=_SHRINKAGE, max_iter=2000)
    fitted.fit((rows - mean) / deviation, np.tile(_LIES, len(shares)))
    kernel = fitted.coef_[0] / deviation
    offset = float(fitted.intercept_[0] - mean @ kernel)
    return PositionHead(np.asarray(kernel, np.float32), offset)


def judged_by_others(shares: FloatArray, groups: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the log-odds (n, 4) of lying, each group's by a head that did not see the group."""
    log_odds = np.zeros(shares.shape[:2])
    for others, own in GroupKFold(FOLDS).split(shares, groups=groups):
        head = fit_position(shares[others])
        log_odds[own] = shares[own].astype(np.float64) @ head.kernel + head.offset
    return log_odds


def seen_as(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.int_]:
    """Return the index in `TURNS` in which each radiograph is classified, (n, 4) for log-odds.

    As `models.classifier` decides: what seems to lie is turned by a quarter, and stays turned where
    it then seems to lie less.
    """
    turned = np.roll(log_odds, -1, axis=1)
    turns = (log_odds > 0) & (turned < log_odds)
    return np.where(turns, (np.arange(4) + 1) % 4, np.arange(4))
