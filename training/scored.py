"""What a network scored on labelled radiographs, and what is decided and reported from it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration
from models.prediction import OperatingPoints
from training.data.example import Example
from training.splits import Split
from training.statistics.calibration import fit_calibration
from training.statistics.figures import auc, sensitivity, specificity
from training.statistics.intervals import BOOTSTRAP_SAMPLES, Estimate, with_interval
from training.statistics.operating_points import choose_operating_points
from training.statistics.subgroups import subgroup_table

SENSITIVITY_GOAL = 0.95
SPECIFICITY_GOAL = 0.95

UNCALIBRATED = Calibration()
"""σ of the network's own log-odds."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Json = dict[str, Any]
"""Any: what JSON holds."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredExamples:
    """Radiographs with their groups and a network's log-odds; all (n)."""

    examples: Sequence[Example]
    groups: npt.NDArray[np.int32]
    logits: Floats

    @classmethod
    def of_part(
        cls, examples: Sequence[Example], split: Split, part: str, logits: Floats
    ) -> "ScoredExamples":
        """Those of all examples that a split puts in a part."""
        rows = split.rows(part)
        groups = np.array([split.groups[row] for row in rows], np.int32)
        return cls([examples[row] for row in rows], groups, logits)

    @property
    def fractured(self) -> Flags:
        """Labels (n)."""
        return np.array([one.fractured for one in self.examples], np.bool_)

    @property
    def hardware(self) -> Flags:
        """Metal (n); true also where the data set does not say that there is none."""
        return np.array([one.hardware is not False for one in self.examples], np.bool_)

    @property
    def probabilities(self) -> Floats:
        """σ of the log-odds (n), not calibrated."""
        return UNCALIBRATED.probability(self.logits)

    def chosen(self, rows: Flags) -> "ScoredExamples":
        """Those of `rows` (n)."""
        examples = list(compress(self.examples, rows))
        return ScoredExamples(examples, self.groups[rows], self.logits[rows])


@dataclass(frozen=True, slots=True)
class Decision:
    """How logits become probabilities, and from which ones a radiograph is flagged."""

    calibration: Calibration
    points: OperatingPoints


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Probabilities and which radiographs reach each operating point; all arrays (n)."""

    probabilities: Floats
    sensitive: Flags
    specific: Flags

    def chosen(self, rows: Flags) -> "Judged":
        """Those of `rows` (n)."""
        return Judged(self.probabilities[rows], self.sensitive[rows], self.specific[rows])


def decide(scored: ScoredExamples) -> Decision:
    """Calibration and operating points for the goals, from radiographs kept from training.

    Raises:
        RunError: the network does not rank fractures higher.
    """
    calibration = fit_calibration(scored.logits, scored.fractured)
    points = choose_operating_points(
        calibration.probability(scored.logits),
        scored.fractured,
        sensitivity_goal=SENSITIVITY_GOAL,
        specificity_goal=SPECIFICITY_GOAL,
    )
    return Decision(calibration, points)


def judge(scored: ScoredExamples, decision: Decision) -> Judged:
    """The radiographs as serving would judge them."""
    probabilities = decision.calibration.probability(scored.logits)
    points = decision.points
    return Judged(
        probabilities, probabilities >= points.sensitive, probabilities >= points.specific
    )


def judge_cross_fitted(scored: ScoredExamples, folds: npt.NDArray[np.int64]) -> Judged:
    """Each fold (n) judged by what the others decide: no radiograph has a say in its own figure."""
    count = len(folds)
    judged = Judged(np.zeros(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
    for fold in np.unique(folds):
        own = folds == fold
        found = judge(scored.chosen(own), decide(scored.chosen(~own)))
        judged.probabilities[own] = found.probabilities
        judged.sensitive[own], judged.specific[own] = found.sensitive, found.specific
    return judged


def metrics(part: str, scored: ScoredExamples, judged: Judged, points: OperatingPoints) -> Json:
    """`figures` of a part, and of those that show no metal where they are of both kinds."""
    plain = ~scored.hardware
    found = {part: figures(scored, judged, points)}
    if len(np.unique(scored.fractured[plain])) == 2:
        name = f"{part}_without_hardware"
        found[name] = figures(scored.chosen(plain), judged.chosen(plain), points)
    return found


def figures(scored: ScoredExamples, judged: Judged, points: OperatingPoints) -> Json:
    """AUC, and sensitivity and specificity at both operating points, with 95 % intervals."""

    def estimate(figure: Callable[..., float], values: npt.NDArray[Any]) -> Json:
        interval = with_interval(figure, values.astype(float), scored.fractured, scored.groups)
        return as_json(interval)

    at_points = {
        name: {
            "threshold": threshold,
            "sensitivity": estimate(_sensitivity, getattr(judged, name)),
            "specificity": estimate(_specificity, getattr(judged, name)),
        }
        for name, threshold in asdict(points).items()
    }
    return {
        "radiographs": len(scored.fractured),
        "fractured": int(scored.fractured.sum()),
        "groups": len(np.unique(scored.groups)),
        "auc": estimate(auc, judged.probabilities),
        "operating_points": at_points,
    }


def subgroups(
    scored: ScoredExamples, scores: Floats, samples: int = BOOTSTRAP_SAMPLES
) -> dict[str, list[Json]]:
    """AUC of scores (n) within regions, views, and with or without hardware."""
    values = {
        "region": [one.region or "not stated" for one in scored.examples],
        "view": [one.view or "not stated" for one in scored.examples],
        "hardware": [_HARDWARE[one.hardware] for one in scored.examples],
    }
    return {
        name: [
            {**asdict(line), "estimate": line.estimate and as_json(line.estimate)}
            for line in subgroup_table(
                auc, scores, scored.fractured, scored.groups, column, samples=samples
            )
        ]
        for name, column in values.items()
    }


def as_json(estimate: Estimate) -> Json:
    """To four decimals; NaN, which JSON does not know, as null."""
    return {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in asdict(estimate).items()
    }


def _sensitivity(flagged: Floats, fractured: Flags) -> float:
    return sensitivity(flagged, fractured, 0.5)


def _specificity(flagged: Floats, fractured: Flags) -> float:
    return specificity(flagged, fractured, 0.5)


_HARDWARE = {True: "with hardware", False: "without hardware", None: "not stated"}
