"""Is one model better than another on the same radiographs: paired tests."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata

from training.statistics.figures import Groups, Labels, Scores
from training.statistics.intervals import CONFIDENCE, Estimate


@dataclass(frozen=True, slots=True)
class AucComparison:
    """Two areas under the ROC curve on the same radiographs.

    `covariance` is that of both areas, (2, 2) as nested tuples; `difference` is first − second,
    `p` two-sided for no difference.
    """

    first: float
    second: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    difference: Estimate
    p: float


def delong(first: Scores, second: Scores, labels: Labels) -> AucComparison:
    """DeLong, DeLong & Clarke-Pearson 1988, by midranks (Sun & Xu 2014): O(n log n).

    It takes radiographs for independent. Where several are one patient's, it is too sure: use
    `bootstrap` of the difference, or `permutation_test`, over groups beside it.

    Raises:
        ValueError: fewer than two radiographs of either label.
    """
    if min(np.count_nonzero(labels), np.count_nonzero(~labels)) < 2:
        raise ValueError("DeLong's variance needs two fractured and two other radiographs")
    areas, covariance = _areas_with_covariance(np.stack([first, second]), labels)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Rounding leaves a variance of about 1e-19 where both models rank alike.
    error = np.sqrt(variance) if variance > 1e-15 else 0.0
    reach = float(norm.ppf((1 + CONFIDENCE) / 2) * error)
    return AucComparison(
        float(areas[0]),
        float(areas[1]),
        tuple(tuple(float(one) for one in row) for row in covariance),  # type: ignore[arg-type]
        Estimate(difference, difference - reach, difference + reach),
        p=float(2 * norm.sf(abs(difference) / error)) if error else float(difference == 0),
    )


def permutation_test(
    figure: Callable[[Scores, Labels], float],
    first: Scores,
    second: Scores,
    labels: Labels,
    groups: Groups,
    *,
    seed: int = 0,
    samples: int = 2000,
) -> float:
    """Two-sided p for no difference of `figure`: both models' scores are swapped, group by group.

    Both must be on one scale, such as calibrated probabilities. For `auc`, ranks do it: give
    `midranks` of each (Venkatraman & Begg 1996). The p is (1 + as extreme) / (1 + samples), so
    never 0 (Phipson & Smyth 2010).
    """
    random = np.random.default_rng(seed)
    _, numbers = np.unique(groups, return_inverse=True)
    observed = abs(figure(first, labels) - figure(second, labels))
    extreme = 0
    for _ in range(samples):
        swapped = random.integers(2, size=numbers.max() + 1).astype(np.bool_)[numbers]
        one, other = np.where(swapped, second, first), np.where(swapped, first, second)
        # Sums in another order differ in the last digits.
        extreme += abs(figure(one, labels) - figure(other, labels)) >= observed - 1e-12
    return (1 + extreme) / (1 + samples)


def midranks(scores: Scores) -> Scores:
    """Ranks from 1, ties sharing their mean."""
    return np.asarray(rankdata(scores), np.float64)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Radiographs that only one of two models calls rightly, and the exact two-sided p."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_called: Labels, second_called: Labels, labels: Labels) -> McNemar:
    """Exact test of McNemar (1947) on the calls of two models, each at its operating point."""
    first_right, second_right = first_called == labels, second_called == labels
    only_first = int(np.count_nonzero(first_right & ~second_right))
    only_second = int(np.count_nonzero(~first_right & second_right))
    discordant = only_first + only_second
    p = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p)


def _areas_with_covariance(
    scores: npt.NDArray[np.float64], labels: Labels
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Areas (k) of scores (k, n), and their covariance (k, k): equations 5 to 8 of Sun & Xu."""
    positives, negatives = scores[:, labels], scores[:, ~labels]
    m, n = positives.shape[1], negatives.shape[1]
    all_ranks = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    above = (all_ranks[:, :m] - rankdata(positives, axis=1)) / n
    below = 1 - (all_ranks[:, m:] - rankdata(negatives, axis=1)) / m
    return above.mean(axis=1), np.cov(above) / m + np.cov(below) / n
