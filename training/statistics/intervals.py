"""How sure a figure is: bootstrap over groups, and Wilson's interval for independent proportions.

Radiographs of one patient resemble each other, so whole groups are resampled; figures of a few
groups are unsure however many radiographs they hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

from training.statistics.figures import Groups, Labels, Scores

BOOTSTRAP_SAMPLES = 2000
CONFIDENCE = 0.95

Rows = npt.NDArray[np.int64]
RowFigure = Callable[[Rows], float]
"""A figure of the examples with these indices (one may come more than once); NaN if undefined."""


class Method(StrEnum):
    """How bootstrap samples become an interval."""

    PERCENTILE = "percentile"
    """Their quantiles (Efron & Tibshirani 1993, chapter 13)."""
    BCA = "BCa"
    """Quantiles corrected for bias and skew, the latter by leaving out one group at a time (the
    same, chapter 14)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def with_interval(
    figure: Callable[[Scores, Labels], float],
    scores: Scores,
    labels: Labels,
    groups: Groups,
    *,
    method: Method = Method.PERCENTILE,
    seed: int = 0,
    samples: int = BOOTSTRAP_SAMPLES,
) -> Estimate:
    """`figure` of scores and labels; resamples without both labels are drawn again.

    Raises:
        ValueError: `labels` are all alike, so that no resample could show both.
    """
    if labels.all() or not labels.any():
        raise ValueError("an interval needs fractured and other radiographs")

    def of_rows(rows: Rows) -> float:
        chosen = labels[rows]
        if chosen.all() or not chosen.any():
            return float("nan")
        return figure(scores[rows], chosen)

    return bootstrap(of_rows, groups, method=method, seed=seed, samples=samples)


def bootstrap(
    figure: RowFigure,
    groups: Groups,
    *,
    method: Method = Method.PERCENTILE,
    seed: int = 0,
    samples: int = BOOTSTRAP_SAMPLES,
) -> Estimate:
    """`figure` of all rows, with an interval that resamples whole groups.

    For the difference of two models, let `figure` be the difference: both then see the same rows.

    Raises:
        ValueError: the figure is undefined in 9 of 10 resamples, or on all rows.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    value = figure(np.arange(len(groups)))
    values = _resampled(figure, members, np.random.default_rng(seed), samples)
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    if method is Method.BCA:
        tails = _corrected(tails, value, values, _left_out(figure, members))
    low, high = np.quantile(values, tails)
    return Estimate(value, float(low), float(high))


def wilson(successes: int, count: int) -> Estimate:
    """A proportion of independent trials (Wilson 1927); NaN to 0 and 1 of none."""
    if not count:
        return Estimate(float("nan"), 0.0, 1.0)
    interval = binomtest(successes, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / count, float(interval.low), float(interval.high))


def _resampled(
    figure: RowFigure, members: list[Rows], random: np.random.Generator, samples: int
) -> npt.NDArray[np.float64]:
    values: list[float] = []
    for _ in range(10 * samples):
        drawn = random.integers(len(members), size=len(members))
        value = figure(np.concatenate([members[index] for index in drawn]))
        if not np.isnan(value):
            values.append(value)
        if len(values) == samples:
            return np.array(values)
    raise ValueError(f"the figure is undefined in most resamples of {len(members)} groups")


def _left_out(figure: RowFigure, members: list[Rows]) -> npt.NDArray[np.float64]:
    """The figure without each group in turn, where it is defined."""
    if len(members) < 2:
        return np.zeros(0)
    values = np.array(
        [figure(np.concatenate(members[:out] + members[out + 1 :])) for out in range(len(members))]
    )
    defined: npt.NDArray[np.float64] = values[~np.isnan(values)]
    return defined


def _corrected(
    tails: tuple[float, float],
    value: float,
    values: npt.NDArray[np.float64],
    left_out: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """BCa's quantiles (Efron & Tibshirani 1993, equations 14.9 to 14.15)."""
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    if not 0 < below < 1:
        return tails
    bias = norm.ppf(below)
    deviations = left_out.mean() - left_out
    spread = np.sum(deviations**2) ** 1.5
    skew = np.sum(deviations**3) / (6 * spread) if spread else 0.0
    shifted = [bias + norm.ppf(tail) for tail in tails]
    low, high = (norm.cdf(bias + one / (1 - skew * one)) for one in shifted)
    return float(low), float(high)
