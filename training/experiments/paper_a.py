"""Paper A's protocol: MobileNetV2 against ResNet50, all layers learning, and what a leak would do.

Each network is a run in a folder of its own that goes on where it was stopped; what a finished run
is measured by is computed once. Reports are `report_a`'s.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from models.architectures import log_odds
from models.preprocessing import to_network_input
from training.data.example import LabelledFolder
from training.errors import RunError
from training.experiments.explained import GRAD_CAM, drawn_by_outcome, explain
from training.experiments.leaks import random_split, share_seen
from training.experiments.measures import compare, measure, metadata
from training.experiments.pooled_features import weights_digest
from training.experiments.stages import Arrays, arrays_once, claim, json_once
from training.freezing import BatchNormalization
from training.history import Epoch, best_epoch
from training.plots import plot_panels
from training.presets import PRESETS
from training.progress import Progress, Report
from training.recipe import Recipe
from training.run_folder import EPOCHS_FILE, RECIPE_FILE
from training.scored import Json, ScoredExamples
from training.splits import TEST, TRAIN, VALIDATION, Plan, Split, make_split, shares_plan
from training.statistics.figures import Labels, Scores, auc, confusion
from training.statistics.intervals import BOOTSTRAP_SAMPLES
from training.train import Learned, learn

MOBILENET, RESNET = "mobilenetv2", "resnet50v2"
RANDOM_SPLIT, FROZEN = "mobilenetv2-random-split", "mobilenetv2-frozen-bn"
SHARES = (64.0, 16.0, 20.0)
"""A fifth for test, as in the paper's table 1, and a fifth of the rest for validation."""
GRADCAM_FILE = "gradcam.png"
TIMED = 20
"""Single radiographs that are timed, after three that warm up."""


@dataclass(frozen=True, slots=True)
class PaperA:
    """What `run` does, where and on what."""

    data: LabelledFolder
    out: Path
    cache: Path
    weights: Mapping[str, Path | None]
    """Pretrained backbone by the architecture's name; without one it starts random."""
    seed: int = 7
    samples: int = BOOTSTRAP_SAMPLES
    """Of each bootstrap and permutation test."""
    recipes: Mapping[str, Recipe] = field(
        default_factory=lambda: {
            MOBILENET: PRESETS["paper_a_mobilenetv2"],
            RESNET: PRESETS["paper_a_resnet50v2"],
        }
    )

    @property
    def runs(self) -> dict[str, Recipe]:
        """Name → recipe; the longest last."""
        small = self.recipes[MOBILENET]
        kept = replace(small.freezing, batch_normalization=BatchNormalization.FROZEN)
        return {
            MOBILENET: small,
            RANDOM_SPLIT: small,
            FROZEN: replace(small, freezing=kept),
            RESNET: self.recipes[RESNET],
        }


def run(
    settings: PaperA,
    report: Report,
    finished: Callable[["Experiment"], None],
    only: Sequence[str] = (),
) -> None:
    """Do what is not done yet of all runs, or of those named; `finished` is told after each, and
    where nothing was missing.

    Raises:
        RunError: `out` holds an experiment with other settings, or there is no such run.
        DataError: the data are too few to split.
    """
    experiment = Experiment(settings, report)
    if unknown := set(only) - set(settings.runs):
        raise RunError(f"there is no run {min(unknown)!r}; runs are {', '.join(settings.runs)}")
    claim(settings.out, experiment.config())
    missing = [name for name in only or settings.runs if name not in experiment.done]
    for name in missing:
        experiment.do(name)
        finished(experiment)
    if not missing:
        finished(experiment)


class Experiment:
    """The runs and everything computed on them."""

    def __init__(self, settings: PaperA, report: Report) -> None:
        self.settings, self.report = settings, report
        self.data = settings.data

    @cached_property
    def plan(self) -> Plan:
        """64/16/20."""
        return shares_plan(SHARES, self.settings.seed)

    @cached_property
    def grouped(self) -> Split:
        """What belongs together is together."""
        return make_split(self.data.examples, self.plan)

    @cached_property
    def random(self) -> Split:
        """Radiograph by radiograph: the leak."""
        return random_split(self.data.examples, self.plan)

    def config(self) -> Json:
        """What decides the figures."""
        own = self.settings
        return {
            "experiment": "paper A",
            "data": self.data.attribution,
            "splits": {"grouped": self.grouped.digest, "random": self.random.digest},
            "weights": {
                name: {"file": path.name if path else "", "sha256": weights_digest(path)}
                for name, path in own.weights.items()
            },
            "seed": own.seed,
            "samples": own.samples,
            "runs": {name: asdict(recipe) for name, recipe in own.runs.items()},
        }

    @property
    def done(self) -> list[str]:
        """Names of the runs that are trained and scored."""
        return [name for name in self.settings.runs if self._scores_path(name).is_file()]

    def do(self, name: str) -> None:
        """Train and score a run, and draw its Grad-CAM panels."""
        self._arrays(name)
        self.metadata()

    def split(self, name: str) -> Split:
        """That of a run."""
        return self.random if name == RANDOM_SPLIT else self.grouped

    def scored(self, name: str, part: str) -> ScoredExamples:
        """A part of its split by a run that is done."""
        logits = self._arrays(name)[part]
        return ScoredExamples.of_part(self.data.examples, self.split(name), part, logits)

    def history(self, name: str) -> list[Epoch]:
        """Epochs of a run."""
        return [
            Epoch(**json.loads(line))
            for line in (self._run_folder(name) / EPOCHS_FILE).read_text().splitlines()
        ]

    def metrics(self, name: str) -> Json:
        """All figures of a run that is done."""
        metrics: Json = json_once(
            self.settings.out / name / "metrics.json", lambda: self._measure(name)
        )
        return metrics

    def comparison(self) -> Json | None:
        """MobileNetV2 less ResNet50V2; None until both are done."""
        if not {MOBILENET, RESNET} <= set(self.done):
            return None
        found: Json = json_once(self.settings.out / "comparison.json", self._compare)
        return found

    def metadata(self) -> list[Json]:
        """AUC of attributes alone."""
        found: list[Json] = json_once(self.settings.out / "metadata.json", self._metadata)
        return found

    def _arrays(self, name: str) -> Arrays:
        return arrays_once(self._scores_path(name), lambda: self._learn_and_score(name))

    def _scores_path(self, name: str) -> Path:
        return self.settings.out / name / "scores.npz"

    def _run_folder(self, name: str) -> Path:
        return self.settings.out / name / "run"

    def _learn_and_score(self, name: str) -> Arrays:
        recipe, folder = self.settings.runs[name], self._run_folder(name)
        learned = learn(
            self.data,
            recipe,
            self.split(name),
            self.plan,
            out=folder,
            backbone_weights=self.settings.weights.get(recipe.architecture.name),
            resume=(folder / RECIPE_FILE).is_file(),
            cache=self.settings.cache,
            report=self._named(name),
        )
        arrays: Arrays = {part: learned.score(part).logits for part in (TRAIN, VALIDATION, TEST)}
        arrays |= _copies(learned, recipe, self._named(name))
        arrays |= _seconds(learned, recipe)
        self._draw_panels(name, learned, arrays[TEST])
        return arrays

    def _named(self, name: str) -> Report:
        def report(step: Progress) -> None:
            self.report(replace(step, stage=f"{name}: {step.stage}"))

        return report

    def _draw_panels(self, name: str, learned: Learned, logits: Scores) -> None:
        split, recipe = self.split(name), self.settings.runs[name]
        rows = list(split.rows(TEST))
        test = ScoredExamples.of_part(self.data.examples, split, TEST, logits)
        drawn = list(drawn_by_outcome(test, self.settings.seed))
        squares = learned.radiographs.serving_squares()
        chosen = {place: squares[rows[place]] for _, place in drawn}
        panels = explain(learned.network, recipe, GRAD_CAM, test, chosen, drawn)
        plot_panels(self.settings.out / name / GRADCAM_FILE, panels)

    def _measure(self, name: str) -> Json:
        arrays, samples = self._arrays(name), self.settings.samples
        parts = {part: self.scored(name, part) for part in (TRAIN, VALIDATION, TEST)}
        kept = best_epoch(self.history(name), self.settings.runs[name].watched)
        return {
            **measure(parts[VALIDATION], parts[TEST], samples),
            "parts": {name: _in_short(one.logits, one.fractured) for name, one in parts.items()},
            "copies": _in_short(arrays["copies"], arrays["copies fractured"]),
            "kept epoch": asdict(kept) if kept else None,
            "seconds per image": float(np.median(arrays["seconds"])),
            "cores": int(arrays["cores"]),
            "load average": float(arrays["load"]),
            "share of test whose group is in training": share_seen(self.split(name)),
        }

    def _compare(self) -> Json:
        models = [
            (self.scored(name, VALIDATION), self.scored(name, TEST)) for name in (MOBILENET, RESNET)
        ]
        return compare(models[0], models[1], self.settings.samples)

    def _metadata(self) -> list[Json]:
        return metadata(self.data, self.settings.seed, self.settings.samples, self.report)


def _copies(learned: Learned, recipe: Recipe, report: Report) -> Arrays:
    """Log-odds and labels of a new augmented copy of each training radiograph: what a test set of
    turned and mirrored training pictures would show."""
    batches = learned.radiographs.batches(learned.cells)
    logits, fractured = [], []
    # No epoch of the training had this number.
    for done, batch in enumerate(batches.epoch(recipe.epochs), start=1):
        logits.append(log_odds(learned.network.predict_on_batch(batch.inputs)[1]))
        fractured.append(batch.fractured)
        report(Progress("scoring copies", done, len(batches)))
    scores = np.concatenate(logits).astype(np.float64)
    return {"copies": scores, "copies fractured": np.concatenate(fractured)}


def _seconds(learned: Learned, recipe: Recipe) -> Arrays:
    """Seconds of the network alone for one radiograph, several times, and on what machine."""
    square = np.asarray(learned.radiographs.serving_squares()[:1])
    inputs = to_network_input(square, recipe.preprocessing.normalization)
    seconds = []
    for _ in range(TIMED + 3):
        started = time.perf_counter()
        learned.network.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": np.array(seconds[3:]),
        "cores": np.array(os.cpu_count() or 0),
        "load": np.array(os.getloadavg()[0]),
    }


def _in_short(logits: Scores, fractured: Labels) -> Json:
    """Of a part: figures without intervals."""
    against_label = np.where(fractured, -logits, logits)
    return {
        "radiographs": len(fractured),
        "fractured": int(fractured.sum()),
        "accuracy": confusion(logits, fractured, 0.0).accuracy,
        "auc": auc(logits, fractured),
        "loss": float(np.logaddexp(0.0, against_label).mean()),
    }
