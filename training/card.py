"""The model card: what a bundle is, what it was trained on, how well it does and where it fails."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration
from models.prediction import OperatingPoints
from training.recipe import Recipe
from training.splits import TEST, TRAIN, VALIDATION, Split
from training.statistics.calibration import fit_calibration
from training.statistics.figures import auc, sensitivity, specificity
from training.statistics.intervals import Estimate, with_interval
from training.statistics.operating_points import choose_operating_points

SENSITIVITY_GOAL = 0.90
SPECIFICITY_GOAL = 0.95

BODY_PARTS = (
    "ANKLE", "ARM", "CALCANEUS", "CLAVICLE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT",
    "FOREARM", "HAND", "HIP", "HUMERUS", "KNEE", "LEG", "LOWERLIMB", "LOWER LEG", "PATELLA",
    "RADIUS", "SCAPULA", "SHOULDER", "THIGH", "THUMB", "TIBIA", "TOE", "ULNA", "UPPER ARM",
    "UPPERLIMB", "WRIST",
)  # fmt: skip
"""BodyPartExamined terms (PS3.16 annex L) of the limbs, hips and shoulders that FracAtlas shows."""

LIMITS = (
    "A negative does not exclude a fracture.",
    "Trained on one data set of limbs, hips and shoulders: no skull, spine, ribs or pelvis.",
    "Most pictures of the data set are small 8-bit JPEG; CR and DX of other makers may differ.",
    "The network sees the whole radiograph at 224 pixels: hairline fractures are below its sight.",
    "Nearly every radiograph with metal hardware in the data set is fractured; hardware raises the "
    "probability by itself.",
    "The saliency grid has 7 × 7 cells: it shows a region, not the fracture line.",
    "The data set states no patients; blocks of neighbouring ids stand in for them in the split.",
)


@dataclass(frozen=True, slots=True)
class ModelName:
    """Name and version of a bundle."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoredExamples:
    """A part of the data with the network's logits; all arrays (n).

    `hardware` is true also where the data set does not say that there is none.
    """

    logits: npt.NDArray[np.float64]
    fractured: npt.NDArray[np.bool_]
    hardware: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int32]

    def without_hardware(self) -> "ScoredExamples":
        """The radiographs that show no metal."""
        kept = ~self.hardware
        return ScoredExamples(
            self.logits[kept], self.fractured[kept], self.hardware[kept], self.groups[kept]
        )


def make_card(
    name: ModelName,
    recipe: Recipe,
    split: Split,
    data_attribution: str,
    *,
    validation: ScoredExamples,
    test: ScoredExamples,
) -> dict[str, Any]:
    """Calibration and operating points from validation data, figures from test data.

    The figures without hardware are left out where no such test radiographs of both kinds remain.
    """
    calibration = fit_calibration(validation.logits, validation.fractured)
    points = choose_operating_points(
        calibration.probability(validation.logits),
        validation.fractured,
        sensitivity_goal=SENSITIVITY_GOAL,
        specificity_goal=SPECIFICITY_GOAL,
    )
    return {
        "name": name.name,
        "version": name.version,
        "architecture": asdict(recipe.architecture),
        "preprocessing": asdict(recipe.preprocessing),
        "calibration": asdict(calibration),
        "operating_points": asdict(points),
        "scope": {"body_parts": list(BODY_PARTS), "modalities": ["CR", "DX"]},
        "training": _training_facts(recipe, split, data_attribution),
        "metrics": {
            part: figures(scored, calibration, points)
            for part, scored in {
                "validation": validation,
                "test": test,
                "test_without_hardware": test.without_hardware(),
            }.items()
            if len(np.unique(scored.fractured)) == 2
        },
        "limits": list(LIMITS),
    }


def figures(
    scored: ScoredExamples, calibration: Calibration, points: OperatingPoints
) -> dict[str, Any]:
    """AUC, and sensitivity and specificity at both operating points, with 95 % intervals."""
    probabilities = calibration.probability(scored.logits)

    def estimate(figure: Any) -> dict[str, float]:  # Any: partial of one of three functions
        interval = with_interval(figure, probabilities, scored.fractured, scored.groups)
        return _rounded(interval)

    at_points = {
        name: {
            "threshold": threshold,
            "sensitivity": estimate(partial(sensitivity, threshold=threshold)),
            "specificity": estimate(partial(specificity, threshold=threshold)),
        }
        for name, threshold in asdict(points).items()
    }
    return {
        "radiographs": len(scored.fractured),
        "fractured": int(scored.fractured.sum()),
        "groups": len(np.unique(scored.groups)),
        "auc": estimate(auc),
        "operating_points": at_points,
    }


def _training_facts(recipe: Recipe, split: Split, data_attribution: str) -> Mapping[str, Any]:
    return {
        "data": data_attribution,
        "backbone": "ImageNet weights of Google's mobilenet_v2_1.0_224 (Apache-2.0)",
        "recipe": asdict(recipe),
        "split": {
            "by": "blocks of 40 consecutive ids, joined where they share a duplicate",
            **{part: len(split.rows(part)) for part in (TRAIN, VALIDATION, TEST)},
            "digest": split.digest,
        },
        "operating_points": f"chosen on validation data: sensitivity ≥ {SENSITIVITY_GOAL}, "
        f"specificity ≥ {SPECIFICITY_GOAL}",
        "intervals": "95 %, percentile bootstrap over groups, 2000 samples",
    }


def _rounded(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 4) for key, value in asdict(estimate).items()}
