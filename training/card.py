"""The model card: what a bundle is, what it was trained on, how well it does and where it fails."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration
from models.prediction import OperatingPoints
from models.pretrained import Pretrained
from training.data.body_parts import body_parts
from training.data.example import LabelledFolder
from training.presets import PRESETS
from training.protocol import protocol
from training.recipe import Recipe
from training.splits import TEST, TRAIN, VALIDATION, Split
from training.statistics.calibration import fit_calibration
from training.statistics.figures import auc, sensitivity, specificity
from training.statistics.intervals import Estimate, with_interval
from training.statistics.operating_points import choose_operating_points

SENSITIVITY_GOAL = 0.90
SPECIFICITY_GOAL = 0.95


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
    data: LabelledFolder,
    split: Split,
    *,
    pretrained: Pretrained,
    cells: int,
    split_is_given: bool,
    validation: ScoredExamples,
    test: ScoredExamples,
) -> dict[str, Any]:
    """Calibration and operating points from validation data, figures from test data.

    The figures without hardware are left out where no such test radiographs of both kinds remain.

    Args:
        pretrained: which weights the backbone started with, and what of it started random.
        cells: side of the grid of the features that are explained.
        split_is_given: by a file, not made from the recipe's seed.
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
        "scope": {"body_parts": list(body_parts(data)), "modalities": ["CR", "DX"]},
        "training": _training_facts(recipe, data, split, pretrained, split_is_given),
        "metrics": {
            part: figures(scored, calibration, points)
            for part, scored in {
                "validation": validation,
                "test": test,
                "test_without_hardware": test.without_hardware(),
            }.items()
            if len(np.unique(scored.fractured)) == 2
        },
        "limits": _limits(recipe, data, cells),
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


def _training_facts(
    recipe: Recipe, data: LabelledFolder, split: Split, pretrained: Pretrained, split_is_given: bool
) -> Mapping[str, Any]:
    return {
        "data": data.attribution,
        "backbone": pretrained.summary,
        "recipe": asdict(recipe),
        "protocol": protocol(recipe),
        "command": _command(recipe, pretrained, split_is_given),
        "split": {
            "by": f"group: what shares {_kept_together(data)} stays together",
            **{part: len(split.rows(part)) for part in (TRAIN, VALIDATION, TEST)},
            "digest": split.digest,
        },
        "operating_points": f"chosen on validation data: sensitivity ≥ {SENSITIVITY_GOAL}, "
        f"specificity ≥ {SPECIFICITY_GOAL}",
        "intervals": "95 %, percentile bootstrap over groups, 2000 samples",
    }


def _command(recipe: Recipe, pretrained: Pretrained, split_is_given: bool) -> str:
    """By the preset's name where the recipe is one; files are those of the run's folder."""
    command = "fracture-screen train --data DATA --out RUN"
    if pretrained.loaded:
        command += f" --weights {pretrained.file}"
    if split_is_given:
        command += " --split split.json"
    for name, preset in PRESETS.items():
        if replace(preset, epochs=recipe.epochs, seed=recipe.seed) == recipe:
            return f"{command} --recipe {name} --epochs {recipe.epochs} --seed {recipe.seed}"
    return f"{command} --recipe recipe.toml"


def _limits(recipe: Recipe, data: LabelledFolder, cells: int) -> list[str]:
    size = recipe.preprocessing.input_size
    limits = [
        "A negative does not exclude a fracture.",
        *data.limits,
        f"The network sees the whole radiograph at {size} pixels: finer fractures are below its "
        "sight.",
        f"The saliency grid has {cells} × {cells} cells: it shows a region, not the fracture line.",
    ]
    kinds = _group_kinds(data)
    if not kinds:
        limits.append("The data set states no patients: one patient's may be in several parts.")
    elif "patient" not in kinds:
        limits.append(
            f"The data set states no patients; what shares {_kept_together(data)} stands in for "
            "them in the split."
        )
    return limits


def _kept_together(data: LabelledFolder) -> str:
    """In words, what a split never parts."""
    named = {"block": "a block of neighbouring ids", "duplicates": "duplicates"}
    return " or ".join(named.get(kind, f"a {kind}") for kind in _group_kinds(data)) or "its file"


def _group_kinds(data: LabelledFolder) -> list[str]:
    return sorted({name.split()[0] for example in data.examples for name in example.groups})


def _rounded(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 4) for key, value in asdict(estimate).items()}
