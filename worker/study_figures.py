"""Figures per study, simulated from a card's held-out rates per radiograph.

Radiographs of a simulated study are independent of each other, given whether each shows a fracture.
Real ones resemble each other, so studies of several radiographs lie between the figures of one
radiograph and these. Numbers in, numbers out: no files, no words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Json = Mapping[str, Any]
"""Any: JSON values of the card."""
Floats = npt.NDArray[np.float64]

PREVALENCES = (0.02, 0.05, 0.10, 0.20)
"""Shares of studies with a fracture."""
RADIOGRAPHS = (1, 2, 3, 4)
DRAWS = 10_000
"""Simulated sets of rates that an interval is taken from."""

_SEED = 0
_NEARLY_CERTAIN = 1e-4
_QUANTILE_975 = 1.959964
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FlaggedShares:
    """How many of some kind of studies are flagged."""

    likely: Share
    """Outcome "Fracture likely"."""
    any: Share
    """Outcome "Fracture likely" or "Fracture possible"."""


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """What an outcome means at some prevalence: shares of the studies with that outcome."""

    likely: Share
    """With a fracture, of "Fracture likely"."""
    possible: Share
    """With a fracture, of "Fracture possible"."""
    negative: Share
    """Without a fracture, of "No fracture flagged"."""


class StudySimulation:
    """Studies of radiographs that reach the operating points as often as the held-out ones did."""

    def __init__(self, operating_points: Json) -> None:
        """Draw sets of rates; the first one is the card's own.

        Args:
            operating_points: of a part of the card's metrics: `sensitive` and `specific`, each with
                `sensitivity` and `specificity` as value, low and high.

        Raises:
            ValueError: a rate or its interval is not known.
        """
        random = np.random.default_rng(_SEED)
        any_point, likely = operating_points["sensitive"], operating_points["specific"]
        self._found_any = _drawn(any_point["sensitivity"], random)
        self._found_likely = np.minimum(_drawn(likely["sensitivity"], random), self._found_any)
        self._clear_of_any = _drawn(any_point["specificity"], random)
        self._clear_of_likely = np.maximum(
            _drawn(likely["specificity"], random), self._clear_of_any
        )

    def flagged(self, radiographs: int, showing: int) -> FlaggedShares:
        """Return how many studies are flagged, on whichever radiograph.

        Args:
            radiographs: in the study.
            showing: how many of them show a fracture; 0: a study without one.
        """
        likely, any_flag = self._flagged(radiographs, showing)
        return FlaggedShares(_share(likely), _share(any_flag))

    def predictive_values(self, radiographs: int, prevalence: float) -> PredictiveValues:
        """Return PPV and NPV per study; the fracture shows on one radiograph of its study.

        Args:
            radiographs: in the study.
            prevalence: share of studies with a fracture, within (0, 1).
        """
        ill_likely, ill_any = (prevalence * part for part in self._flagged(radiographs, 1))
        well_likely, well_any = ((1 - prevalence) * part for part in self._flagged(radiographs, 0))
        ill_possible, well_possible = ill_any - ill_likely, well_any - well_likely
        ill_negative, well_negative = prevalence - ill_any, (1 - prevalence) - well_any
        return PredictiveValues(
            _share(_part(ill_likely, well_likely)),
            _share(_part(ill_possible, well_possible)),
            _share(_part(well_negative, ill_negative)),
        )

    def _flagged(self, radiographs: int, showing: int) -> tuple[Floats, Floats]:
        """(likely, any flag), each (draws + 1)."""
        sound = radiographs - showing
        missed_likely = (1 - self._found_likely) ** showing * self._clear_of_likely**sound
        missed_any = (1 - self._found_any) ** showing * self._clear_of_any**sound
        return 1 - missed_likely, 1 - missed_any


def _drawn(rate: Json, random: np.random.Generator) -> Floats:
    """The rate, then draws of it: normal in log-odds, as wide as its interval; (draws + 1)."""
    if None in rate.values():
        raise ValueError("a rate of the card is not known")
    value, low, high = (_log_odds(rate[key]) for key in ("value", "low", "high"))
    spread = (high - low) / (2 * _QUANTILE_975)
    drawn = np.concatenate([[value], random.normal(value, spread, DRAWS)])
    shares: Floats = 1 / (1 + np.exp(-drawn))
    return shares


def _log_odds(share: float) -> float:
    inside = min(max(share, _NEARLY_CERTAIN), 1 - _NEARLY_CERTAIN)
    return float(np.log(inside / (1 - inside)))


def _part(these: Floats, others: Floats) -> Floats:
    """Their share of both together; NaN of nothing."""
    both = these + others
    return np.divide(these, both, out=np.full_like(both, np.nan), where=both > 0)


def _share(drawn: Floats) -> Share:
    low, high = np.nanquantile(drawn[1:], _INTERVAL)
    return Share(float(drawn[0]), float(low), float(high))
