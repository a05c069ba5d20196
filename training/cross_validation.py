"""k-fold cross-validation of a recipe, and the bundle that it vouches for.

Each fold is held out once, and a network trained on all others scores it. The bundle's own network
learns from every radiograph by the same recipe: its calibration and operating points come from the
held-out scores, its figures are those of networks that saw fewer radiographs than it did. So the
recipe watches nothing: no radiograph is kept back to choose an epoch.

A folder holds a run per fold (`fold-0` …) and one of all (`all`); what is finished is not done
again.
"""

import csv
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from models.bundle import ModelBundle, load_bundle, rounded_for_storage, save_bundle
from models.classifier import Classifier
from models.engines.tensorflow_engine import TensorFlowEngine
from training.card import ModelName, folds_facts, make_card, rejections
from training.data.example import LabelledFolder
from training.errors import RecipeError
from training.explanation.measure import Explained, explain, localisation_figures
from training.onnx_export import add_network, can_export
from training.plots import plot_reliability, plot_roc
from training.progress import Progress, Report, counting
from training.recipe import Recipe, Watched
from training.reference import reference_card
from training.run_folder import (
    BEST_FILE,
    BUNDLE_FOLDER,
    RECIPE_FILE,
    load_weights,
    replacing,
    write_text,
)
from training.scored import (
    Judged,
    ScoredExamples,
    as_json,
    decide,
    judge_cross_fitted,
    metrics,
    subgroups,
)
from training.splits import TEST, TRAIN, Plan, Split, as_split
from training.statistics.calibration import Binning, brier, calibration_error
from training.statistics.figures import auc
from training.train import CACHE_FOLDER, Learned, learn

ALL_FOLDER = "all"
SCORES_FILE = "held-out.npz"
TABLE_FILE = "held-out.csv"
METRICS_FILE = "metrics.json"
ROC_FILE, RELIABILITY_FILE = "roc.png", "reliability.png"
_COLUMNS = (
    *("picture", "fold", "fractured", "logit"),
    *("probability", "sensitive", "specific", "peak_in_box", "rejected"),
)
PART = "cross_validation"
"""Of the card's figures."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What is validated, and where."""

    data: LabelledFolder
    recipe: Recipe
    folds: Split
    plan: Plan
    """That the folds were made by."""
    out: Path
    backbone_weights: Path | None
    cache: Path | None
    report: Report

    @property
    def fold_of(self) -> npt.NDArray[np.int64]:
        """Number of the fold of each radiograph (n)."""
        return np.array([self.folds.parts.index(part) for part in self.folds.part_of], np.int64)

    def run_folder(self, fold: int) -> Path:
        """Where the network that does not know a fold is trained."""
        return self.out / f"fold-{fold}"


def score_folds(run: CrossValidation, only: Collection[int] = ()) -> list[int]:
    """Train and score the folds of `only`, or all, that are not finished; those that still lack.

    Raises:
        RecipeError: the recipe watches a figure.
        DataError, RunError: as `training.train.train`.
    """
    _refuse_watching(run.recipe)
    count = len(run.folds.parts)
    for fold in only or range(count):
        folder = run.run_folder(fold)
        if (folder / SCORES_FILE).is_file():
            continue
        learned = _learn(run, folder, _without(run, fold), f"fold {fold}")
        held_out = {
            "logits": learned.score(TEST).logits,
            "rejected": learned.rejected(TEST, learned.scope()),
        }
        with replacing(folder / SCORES_FILE) as file:
            np.savez(file, allow_pickle=False, **held_out)
    return [fold for fold in range(count) if not (run.run_folder(fold) / SCORES_FILE).is_file()]


def write_bundle(run: CrossValidation, name: ModelName) -> Path:
    """Train on everything, measure on what was held out, write figures and bundle; its folder.

    Raises:
        DataError, RunError: as `training.train.train`.
    """
    everything = as_split(
        run.data.examples, (TRAIN,), [TRAIN] * len(run.folds.part_of), run.folds.groups
    )
    learned = _learn(run, run.out / ALL_FOLDER, everything, "all")
    scored = _scored(run)
    judged = judge_cross_fitted(scored, run.fold_of)
    decision = decide(scored)
    card = make_card(
        name,
        run.recipe,
        run.data,
        decision,
        pretrained=learned.pretrained,
        cells=learned.cells,
        facts=folds_facts(run.data, run.folds, run.recipe, learned.pretrained),
        metrics=metrics(PART, scored, judged, decision.points),
    )
    card["reference"] = reference_card(
        run.data.examples, decision.calibration.probability(scored.logits)
    )
    card["metrics"][PART] |= _more_figures(run, scored, judged)
    card["subgroups"] = subgroups(scored, judged.probabilities)
    rejected = _held_out(run, "rejected").astype(np.bool_)
    card["scope"] |= rejections({PART: rejected})
    folder, scope = run.out / BUNDLE_FOLDER, learned.scope()
    save_bundle(folder, card, learned.weights, scope)
    explained = _explained(run, load_bundle(folder))
    if explained:
        found = localisation_figures("all", explained)
        card["explanation"] = {name: as_json(one) for name, one in found.items()}
    save_bundle(folder, card, learned.weights, scope)
    if can_export():
        add_network(folder)
    _write_table(run, scored, judged, rejected, explained)
    told = {name: card.get(name) for name in ("metrics", "subgroups", "scope", "explanation")}
    write_text(run.out / METRICS_FILE, json.dumps(told, indent=2) + "\n")
    _plot(run, judged, scored.fractured)
    return folder


def _refuse_watching(recipe: Recipe) -> None:
    if recipe.watched != Watched.NOTHING:
        raise RecipeError(
            f"the recipe watches the validation {recipe.watched}, but cross-validation keeps no "
            'radiographs back for it; set watched = "nothing" and schedule = "cosine"'
        )


def _without(run: CrossValidation, fold: int) -> Split:
    own = run.folds.parts[fold]
    part_of = [TEST if part == own else TRAIN for part in run.folds.part_of]
    return as_split(run.data.examples, (TRAIN, TEST), part_of, run.folds.groups)


def _learn(run: CrossValidation, folder: Path, split: Split, name: str) -> Learned:
    def report(step: Progress) -> None:
        run.report(replace(step, stage=f"{name}: {step.stage}"))

    keras.utils.clear_session()  # what the fold before has built
    return learn(
        run.data,
        run.recipe,
        split,
        run.plan,
        out=folder,
        backbone_weights=run.backbone_weights,
        resume=(folder / RECIPE_FILE).is_file(),
        cache=run.cache or run.out / CACHE_FOLDER,
        report=report,
    )


def _held_out(run: CrossValidation, name: str) -> npt.NDArray[np.float64]:
    """An array of `SCORES_FILE` for all radiographs, each by the network that had not seen it."""
    found = np.zeros(len(run.fold_of))
    for fold in range(len(run.folds.parts)):
        with np.load(run.run_folder(fold) / SCORES_FILE, allow_pickle=False) as stored:
            found[run.fold_of == fold] = stored[name]
    return found


def _scored(run: CrossValidation) -> ScoredExamples:
    groups = np.array(run.folds.groups, np.int32)
    return ScoredExamples(run.data.examples, groups, _held_out(run, "logits"))


def _more_figures(run: CrossValidation, scored: ScoredExamples, judged: Judged) -> dict[str, Any]:
    """AUC of each fold by itself, and whether probabilities mean what they say. Any: JSON."""
    by_fold = [
        auc(scored.logits[run.fold_of == fold], scored.fractured[run.fold_of == fold])
        for fold in range(len(run.folds.parts))
    ]
    error = calibration_error(judged.probabilities, scored.fractured, Binning.EQUAL_MASS)
    return {
        "auc_by_fold": [round(one, 4) for one in by_fold],
        "calibration_error": round(error, 4),
        "brier": round(brier(judged.probabilities, scored.fractured), 4),
    }


def _explained(run: CrossValidation, bundle: ModelBundle) -> list[Explained]:
    """Boxed radiographs, each explained by the network that had not seen it."""
    examples, groups = run.data.examples, run.folds.groups
    boxed = [row for row, example in enumerate(examples) if example.boxes]
    tick = counting("explaining", len(boxed), run.report)
    found: list[Explained] = []
    for fold in range(len(run.folds.parts)):
        weights = rounded_for_storage(load_weights(run.run_folder(fold) / BEST_FILE))
        own = bundle.with_weights(weights)
        classifier = Classifier(own, TensorFlowEngine(own))
        for row in boxed:
            if run.fold_of[row] == fold:
                explained, _ = explain(classifier, examples[row], groups[row])
                found.append(explained)
                tick()
    return found


def _plot(run: CrossValidation, judged: Judged, fractured: npt.NDArray[np.bool_]) -> None:
    """ROC and reliability of the probabilities that the other folds calibrated."""
    likely = np.clip(judged.probabilities, 1e-9, 1 - 1e-9)
    flagged = {"possible": judged.sensitive, "likely": judged.specific}
    points = {
        name: (float(one[fractured].mean()), float((~one)[~fractured].mean()))
        for name, one in flagged.items()
    }
    log_odds = np.log(likely / (1 - likely))
    plot_roc(run.out / ROC_FILE, {"held out": (log_odds, fractured)}, points)
    plot_reliability(run.out / RELIABILITY_FILE, {"held out": (judged.probabilities, fractured)})


def _write_table(
    run: CrossValidation,
    scored: ScoredExamples,
    judged: Judged,
    rejected: npt.NDArray[np.bool_],
    explained: Sequence[Explained],
) -> None:
    """One line per radiograph."""
    peaks = {one.example.path: int(one.localisation.peak_in_box) for one in explained}
    with (run.out / TABLE_FILE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for row, example in enumerate(run.data.examples):
            table.writerow(
                (
                    run.data.relative(example),
                    run.fold_of[row],
                    int(scored.fractured[row]),
                    f"{scored.logits[row]:.4f}",
                    f"{judged.probabilities[row]:.4f}",
                    int(judged.sensitive[row]),
                    int(judged.specific[row]),
                    peaks.get(example.path, ""),
                    int(rejected[row]),
                )
            )
