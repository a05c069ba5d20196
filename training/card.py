"""The model card: what a bundle is, what it was trained on, how well it does and where it fails."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.preprocessing import Framing, Shape
from models.pretrained import Pretrained
from training.data.body_parts import body_parts
from training.data.example import LabelledFolder
from training.presets import PRESETS
from training.protocol import protocol
from training.recipe import Recipe
from training.scored import SENSITIVITY_GOAL, SPECIFICITY_GOAL, Decision, as_json
from training.splits import TEST, TRAIN, VALIDATION, Split
from training.statistics.intervals import wilson

Facts = Mapping[str, Any]
"""Any: JSON."""
_GOALS = f"sensitivity ≥ {SENSITIVITY_GOAL}, specificity ≥ {SPECIFICITY_GOAL}"


@dataclass(frozen=True, slots=True)
class ModelName:
    """Name and version of a bundle."""

    name: str
    version: str


def make_card(
    name: ModelName,
    recipe: Recipe,
    data: LabelledFolder,
    decision: Decision,
    *,
    pretrained: Pretrained,
    cells: Shape,
    facts: Facts,
    metrics: Facts,
) -> dict[str, Any]:
    """Everything that serving and people need to know of a bundle.

    Args:
        pretrained: which weights the backbone started with, and what of it started random.
        cells: shape of the grid of the features that are explained.
        facts: where decision and figures come from: `split_facts` or `folds_facts`.
        metrics: `training.scored.metrics` by part.
    """
    return {
        "name": name.name,
        "version": name.version,
        "architecture": asdict(recipe.architecture),
        "preprocessing": asdict(recipe.preprocessing),
        "calibration": asdict(decision.calibration),
        "operating_points": asdict(decision.points),
        "scope": {"body_parts": list(body_parts(data)), "modalities": ["CR", "DX"]},
        "training": {
            "data": data.attribution,
            "backbone": pretrained.summary,
            "recipe": asdict(recipe),
            "protocol": protocol(recipe),
            "intervals": "95 %, percentile bootstrap over groups, 2000 samples",
            **facts,
        },
        "metrics": dict(metrics),
        "limits": _limits(recipe, data, cells),
    }


def split_facts(
    data: LabelledFolder, split: Split, recipe: Recipe, pretrained: Pretrained, *, is_given: bool
) -> Facts:
    """Of a bundle with a validation and a test part; `is_given`: by a file, not by the seed."""
    options = " --split split.json" if is_given else ""
    return {
        "command": _command("train", recipe, pretrained, options),
        "split": {
            "by": _parted_by(data),
            **{part: len(split.rows(part)) for part in (TRAIN, VALIDATION, TEST)},
            "digest": split.digest,
        },
        "operating_points": f"chosen on validation data: {_GOALS}",
    }


def folds_facts(
    data: LabelledFolder, folds: Split, recipe: Recipe, pretrained: Pretrained
) -> Facts:
    """Of a bundle that learned from everything, vouched for by cross-validation."""
    return {
        "command": _command("cross-validate", recipe, pretrained, " --split folds.json"),
        "split": {
            "by": _parted_by(data),
            TRAIN: len(folds.part_of),
            "folds": len(folds.parts),
            "digest": folds.digest,
        },
        "operating_points": f"chosen on held-out radiographs of all folds: {_GOALS}; the "
        "figures of each fold are at points that the other folds chose",
    }


def rejections(rejected: Mapping[str, npt.NDArray[np.bool_]]) -> Facts:
    """Of the card's scope: which radiographs of a part it leaves unanalysed, with an interval."""
    shares = {part: wilson(int(one.sum()), len(one)) for part, one in rejected.items()}
    return {"rejected": {part: as_json(share) for part, share in shares.items()}}


def _parted_by(data: LabelledFolder) -> str:
    return f"group: what shares {_kept_together(data)} stays together"


def _command(verb: str, recipe: Recipe, pretrained: Pretrained, options: str) -> str:
    """By the preset's name where the recipe is one; files are those of the run's folder."""
    command = f"fracture-screen {verb} --data DATA --out RUN"
    if pretrained.loaded:
        command += f" --weights {pretrained.file}"
    command += options
    for name, preset in PRESETS.items():
        if replace(preset, epochs=recipe.epochs, seed=recipe.seed) == recipe:
            return f"{command} --recipe {name} --epochs {recipe.epochs} --seed {recipe.seed}"
    return f"{command} --recipe recipe.toml"


def _limits(recipe: Recipe, data: LabelledFolder, cells: Shape) -> list[str]:
    rows, columns = recipe.preprocessing.shape
    limits = [
        "A negative does not exclude a fracture.",
        *data.limits,
        f"The network sees {_SEEN[recipe.preprocessing.framing]} at {rows} × {columns} pixels: "
        "finer fractures are below its sight.",
        f"The saliency grid has {cells[0]} × {cells[1]} cells: it shows a region, not "
        "the fracture line.",
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


_SEEN = {
    Framing.WHOLE: "the whole radiograph",
    Framing.CONTENT: "what the radiograph shows, without empty borders,",
}


def _kept_together(data: LabelledFolder) -> str:
    """In words, what a split never parts."""
    named = {"block": "a block of neighbouring ids", "duplicates": "duplicates"}
    return " or ".join(named.get(kind, f"a {kind}") for kind in _group_kinds(data)) or "its file"


def _group_kinds(data: LabelledFolder) -> list[str]:
    return sorted({name.split()[0] for example in data.examples for name in example.groups})
