"""How a shadow agrees with the champion on live studies, in figures. Needs the training extra."""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from db.shadow_scores import NewShadowScore, ShadowCoverage, ShadowPair
from models.prediction import OperatingPoint
from training.statistics.agreement import cohen_kappa
from training.statistics.comparison import mcnemar

GRADES = {"": 0, OperatingPoint.SENSITIVE: 1, OperatingPoint.SPECIFIC: 2}
"""Below, possible, likely."""
FEWEST = 30
"""Radiographs below which the figures are called too few."""
SCORES_FILE, SCATTER_FILE = "scores.csv", "scatter.png"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures over all radiographs that both models analysed. nan: not defined."""

    radiographs: int
    studies: int
    concluded_studies: int
    """Meanwhile, whether scored or not."""
    kappa: float
    """Of below, possible, likely."""
    kappa_flagged: float
    """Of flagged at all or not."""
    champion_alone: int
    """Flagged by the champion alone."""
    shadow_alone: int
    mcnemar_p: float
    correlation: float
    """Pearson's, of the probabilities."""
    mean_difference: float
    """Shadow minus champion."""
    table: tuple[tuple[int, ...], ...]
    """Champion below, possible, likely (rows) by shadow (columns)."""

    @property
    def too_few(self) -> bool:
        """Whether the figures say little."""
        return self.radiographs < FEWEST


def agreement(pairs: Sequence[ShadowPair], coverage: ShadowCoverage) -> Agreement | None:
    """All figures; None without a radiograph that both analysed."""
    if not pairs:
        return None
    champion, shadow = _probabilities(pairs)
    graded, other = (np.array(grades) for grades in zip(*map(_grades, pairs), strict=True))
    flagged, other_flagged = graded > 0, other > 0
    # Against "all fractured" to be right is to flag.
    test = mcnemar(flagged, other_flagged, np.ones(len(pairs), np.bool_))
    return Agreement(
        radiographs=len(pairs),
        studies=coverage.scored,
        concluded_studies=coverage.concluded,
        kappa=cohen_kappa(graded, other),
        kappa_flagged=cohen_kappa(flagged, other_flagged),
        champion_alone=test.only_first,
        shadow_alone=test.only_second,
        mcnemar_p=test.p,
        correlation=_pearson(champion, shadow),
        mean_difference=float((shadow - champion).mean()),
        table=_cross_table(graded, other),
    )


def worst(pairs: Sequence[ShadowPair], count: int) -> list[ShadowPair]:
    """Those that disagree most: by steps between operating points, then by probability."""

    def distance(pair: ShadowPair) -> tuple[int, float]:
        champion, shadow = _grades(pair)
        score = pair.score
        return abs(champion - shadow), abs(score.probability - score.champion_probability)

    return sorted(pairs, key=distance, reverse=True)[:count]


def write_scores(pairs: Sequence[ShadowPair], path: Path) -> None:
    """One line per radiograph: UIDs, both probabilities and operating points."""
    names = ("study_instance_uid", "scored_at", *NewShadowScore.__slots__)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for pair in pairs:
            values = asdict(pair.score).values()
            writer.writerow((pair.study_instance_uid, pair.scored_at.isoformat(), *values))


def write_scatter(pairs: Sequence[ShadowPair], path: Path, shadow: str) -> None:
    """Champion's probability against the shadow's. ImportError: matplotlib is not installed."""
    from matplotlib.figure import Figure

    champion, of_shadow = _probabilities(pairs)
    figure = Figure(figsize=(6, 6), dpi=120)
    axes = figure.add_subplot(
        xlabel="champion's probability",
        ylabel=f"probability of {shadow}",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.scatter(champion, of_shadow, s=10, alpha=0.5)
    axes.set_title(f"{len(pairs)} radiographs")
    figure.savefig(path)


def _grades(pair: ShadowPair) -> tuple[int, int]:
    """Champion's and shadow's."""
    return GRADES[pair.score.champion_operating_point], GRADES[pair.score.operating_point]


def _cross_table(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> tuple[tuple[int, ...], ...]:
    table = np.zeros((len(GRADES), len(GRADES)), np.int64)
    np.add.at(table, (first, second), 1)
    return tuple(tuple(int(count) for count in row) for row in table)


def _pearson(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """NaN with fewer than two pairs, or where one side never varies."""
    if len(first) < 2 or not np.ptp(first) or not np.ptp(second):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _probabilities(
    pairs: Sequence[ShadowPair],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Champion's and shadow's, (n) each."""
    scores = [(pair.score.champion_probability, pair.score.probability) for pair in pairs]
    both = np.array(scores, np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
