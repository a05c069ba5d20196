"""Reference histograms: how scores and radiographs looked when a model was made, for drift."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10
_SMALLEST_SHARE = 1e-4
MEASURES = ("probability", "mean_intensity", "pixels")
"""Calibrated probability, mean of the radiograph's grey values in [0, 1], rows · columns."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins that `edges` part: counts has one more than edges. An edge belongs right."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("a histogram needs rising edges and one more count than edges")
        if min(self.counts) < 0 or not sum(self.counts):
            raise ValueError("a histogram needs counts, none of them negative")

    def count(self, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many values fall into each bin."""
        bins = np.searchsorted(self.edges, np.asarray(values, np.float64), side="right")
        return np.bincount(bins, minlength=len(self.counts)).astype(np.int64)

    def stability_index(self, values: npt.ArrayLike) -> float:
        """Population stability index of `values` against this histogram: Σ (q - p) · ln(q / p).

        Usual reading: below 0.1 stable, up to 0.25 moved, above moved a lot. An empty bin counts as
        a share of 0.0001. NaN without values.
        """
        p, q = (np.maximum(shares, _SMALLEST_SHARE) for shares in self._shares(values))
        return float(((q - p) * np.log(q / p)).sum())

    def ks(self, values: npt.ArrayLike) -> float:
        """Greatest difference of both distributions at the edges (Kolmogorov-Smirnov).

        A lower bound of the statistic over all values. NaN without values.
        """
        p, q = self._shares(values)
        return float(np.abs(np.cumsum(p) - np.cumsum(q)).max())

    def _shares(
        self, values: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Of each bin, here and among `values`."""
        expected, found = np.array(self.counts), self.count(values)
        total = found.sum() or np.nan
        return expected / expected.sum(), found / total


def histogram_of(values: npt.ArrayLike) -> Histogram:
    """Bins of about equally many values, `BINS` or fewer where values repeat.

    Raises:
        ValueError: no value.
    """
    found = np.asarray(values, np.float64)
    if not len(found):
        raise ValueError("a histogram needs at least one value")
    quantiles = np.quantile(found, np.linspace(0, 1, BINS + 1)[1:-1])
    edges = tuple(float(edge) for edge in np.unique(quantiles))
    counts = Histogram(edges, (1,) * (len(edges) + 1)).count(found)
    return Histogram(edges, tuple(int(count) for count in counts))


def as_card(values: Mapping[str, npt.ArrayLike]) -> dict[str, Any]:
    """The card's entry `reference`: a histogram per measure. Any: JSON."""
    histograms = {name: histogram_of(values[name]) for name in MEASURES}
    return {
        name: {"edges": list(one.edges), "counts": list(one.counts)}
        for name, one in histograms.items()
    }


def from_card(card: Mapping[str, Any]) -> dict[str, Histogram]:
    """The histograms that a card holds; empty where it holds none.

    Raises:
        KeyError, TypeError, ValueError: the entry is not of this form.
    """
    return {
        name: Histogram(tuple(one["edges"]), tuple(one["counts"]))
        for name, one in card.get("reference", {}).items()
        if name in MEASURES
    }
