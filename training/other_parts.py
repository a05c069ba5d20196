"""Fits the head that tells limbs from other parts of the body (`models.scope.OtherParts`)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from models.prediction import FloatArray
from models.scope import OtherParts

FOLDS = 5
"""Of groups of radiographs, each of which is judged by a head that learned from the others."""
QUANTILE = 0.99
"""Of limbs that other limbs' heads judged: the threshold."""

_SHRINKAGE = 0.02
"""scikit-learn's C of standardised features."""
_CONSTANT = 1e-6


def fit_other_parts(limbs: FloatArray, groups: Sequence[int], others: FloatArray) -> OtherParts:
    """Fit the head to the shares of limbs (n, K) in groups (n) and of other parts (m, K).

    The threshold comes from limbs of groups that each fold leaves out.

    Raises:
        ValueError: fewer than two groups.
    """
    count = len(np.unique(np.asarray(groups)))
    if count < 2:
        raise ValueError(f"other parts need limbs of 2 groups, not of {count}")
    over = np.zeros(len(limbs))
    for rest, own in GroupKFold(min(FOLDS, count)).split(limbs, groups=groups):
        over[own] = _unbounded(limbs[rest], others).excess(limbs[own]) - 1
    head = _unbounded(limbs, others)
    return replace(head, offset=head.offset - float(np.quantile(over, QUANTILE)))


def rejected_sources(
    limbs: FloatArray, groups: Sequence[int], sources: Sequence[FloatArray]
) -> list[npt.NDArray[np.bool_]]:
    """Return which pictures (m, K) of each source a head of the other sources calls other parts."""
    found = []
    for number, own in enumerate(sources):
        rest = np.concatenate([other for at, other in enumerate(sources) if at != number])
        found.append(np.asarray(fit_other_parts(limbs, groups, rest).excess(own) > 1))
    return found


def _unbounded(limbs: FloatArray, others: FloatArray) -> OtherParts:
    """The head with its threshold at even odds, both kinds of equal weight."""
    rows = np.concatenate([limbs, others]).astype(np.float64)
    mean = limbs.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(limbs.std(axis=0, dtype=np.float64), _CONSTANT)
    fitted = LogisticRegression(C=_SHRINKAGE, max_iter=2000, class_weight="balanced")
    fitted.fit((rows - mean) / deviation, np.arange(len(rows)) >= len(limbs))
    kernel = fitted.coef_[0] / deviation
    offset = float(fitted.intercept_[0] - mean @ kernel)
    return OtherParts(np.asarray(kernel, np.float32), offset)
