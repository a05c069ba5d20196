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


def fit_other_parts(
    limbs: FloatArray, groups: Sequence[int], sources: Sequence[FloatArray]
) -> OtherParts:
    """Fit the head to the shares of limbs (n, K) in groups (n) and of other parts, (m, K) a source.

    Every source has the same weight, however many pictures it has.

    The threshold comes from limbs of groups that each fold leaves out.

    Raises:
        ValueError: fewer than two groups.
    """
    count = len(np.unique(np.asarray(groups)))
    if count < 2:
        raise ValueError(f"other parts need limbs of 2 groups, not of {count}")
    over = np.zeros(len(limbs))
    for rest, own in GroupKFold(min(FOLDS, count)).split(limbs, groups=groups):
        over[own] = _unbounded(limbs[rest], sources).excess(limbs[own]) - 1
    head = _unbounded(limbs, sources)
    return replace(head, offset=head.offset - float(np.quantile(over, QUANTILE)))


def rejected_sources(
    limbs: FloatArray, groups: Sequence[int], sources: Sequence[FloatArray]
) -> list[npt.NDArray[np.bool_]]:
    """Return which pictures (m, K) of each source a head of the other sources calls other parts."""
    found = []
    for number, own in enumerate(sources):
        rest = [other for at, other in enumerate(sources) if at != number]
        found.append(np.asarray(fit_other_parts(limbs, groups, rest).excess(own) > 1))
    return found


def _unbounded(limbs: FloatArray, sources: Sequence[FloatArray]) -> OtherParts:
    """The head with its threshold at even odds, both kinds of equal weight."""
    rows = np.concatenate([limbs, *sources]).astype(np.float64)
    weights = np.concatenate(
        [np.ones(len(limbs))]
        + [np.full(len(own), len(limbs) / len(sources) / len(own)) for own in sources]
    )
    mean = limbs.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(limbs.std(axis=0, dtype=np.float64), _CONSTANT)
    fitted = LogisticRegression(C=_SHRINKAGE, max_iter=2000)
    is_other = np.arange(len(rows)) >= len(limbs)
    fitted.fit((rows - mean) / deviation, is_other, sample_weight=weights)
    kernel = fitted.coef_[0] / deviation
    offset = float(fitted.intercept_[0] - mean @ kernel)
    return OtherParts(np.asarray(kernel, np.float32), offset)
