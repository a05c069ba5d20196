"""Paper B's protocol: one frozen ResNet-101, three ways to train its head.

The backbone is frozen, so its pooled features are computed once and every head trains on them in
seconds: raw, balanced and tuned on the paper's split, each again by cross-validation, and the
controls. Reports are `report_b`'s.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.architectures import KerasModel
from models.keras_weights import get_weights, set_weights
from models.pretrained import build_pretrained
from training.controls import shuffled_labels
from training.data.example import LabelledFolder
from training.errors import DataError
from training.experiments.explained import GRAD_CAM_PLUS_PLUS, drawn_by_outcome, explain
from training.experiments.heads import Copies, Head, Held, head_log_odds, train_head
from training.experiments.leaks import random_split, share_seen
from training.experiments.measures import (
    compare,
    compare_folds,
    measure,
    measure_folds,
    metadata,
)
from training.experiments.pooled_features import (
    PooledFeatures,
    copies_per_radiograph,
    weights_digest,
)
from training.experiments.search import Choice, Trial, best, search
from training.experiments.stages import Arrays, arrays_once, claim, json_once
from training.history import Epoch
from training.plots import plot_panels
from training.presets import PRESETS
from training.progress import Progress, Report
from training.recipe import Recipe
from training.scored import Json, ScoredExamples
from training.split_file import save_split
from training.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    fold_as_test,
    folds_plan,
    make_split,
    shares_plan,
)
from training.statistics.figures import auc
from training.statistics.intervals import BOOTSTRAP_SAMPLES

RAW, BALANCED, TUNED = "raw", "balanced", "tuned"
SHUFFLED, RANDOM_FOLDS = "shuffled labels", "random folds"
ALL_REGIONS = "all"
SHARES = (72.0, 18.0, 10.0)
GRADCAM_FILE = "gradcam.png"
METRICS_FILE = "metrics.json"


@dataclass(frozen=True, slots=True)
class PaperB:
    """What `run` does, where and on what."""

    data: LabelledFolder
    out: Path
    cache: Path
    weights: Path | None
    """Pretrained backbone; without it the backbone is random, which the report says."""
    region: str = "hand"
    """The paper's anatomical subset, done beside all regions; empty: all regions only."""
    copies: int = 4
    """Augmented copies of each training radiograph of the commoner class."""
    trials: int = 10
    folds: int = 5
    seed: int = 7
    samples: int = BOOTSTRAP_SAMPLES
    """Of each bootstrap and permutation test."""
    recipes: Mapping[str, Recipe] = field(
        default_factory=lambda: {
            RAW: PRESETS["paper_b_raw"],
            BALANCED: PRESETS["paper_b_balanced"],
        }
    )

    @property
    def cohorts(self) -> tuple[str, ...]:
        """The subset first: it is soon done."""
        return (self.region, ALL_REGIONS) if self.region else (ALL_REGIONS,)


def run(settings: PaperB, report: Report, finished: Callable[[Sequence["Cohort"]], None]) -> None:
    """Do what is not done yet; `finished` is told, after each, the cohorts that are done.

    Raises:
        RunError: `out` holds an experiment with other settings.
        DataError: no radiograph is of the region, or the data are too few to split.
    """
    cohorts = {name: Cohort(settings, name, report) for name in settings.cohorts}
    claim(settings.out, _config(settings, cohorts))
    done: list[Cohort] = []
    for cohort in cohorts.values():
        cohort.metrics()
        cohort.draw_panels()
        done.append(cohort)
        finished(done)


class Cohort:
    """The radiographs of a region, or all, and everything computed on them."""

    def __init__(self, settings: PaperB, name: str, report: Report) -> None:
        self.settings, self.name, self.report = settings, name, report
        self.folder = settings.out / name
        self.rows = _rows(settings.data, name)
        examples = tuple(settings.data.examples[row] for row in self.rows)
        self.data = replace(settings.data, examples=examples)
        self._trained = 0

    @cached_property
    def split(self) -> Split:
        """72/18/10, grouped."""
        return make_split(self.data.examples, shares_plan(SHARES, self.settings.seed))

    @cached_property
    def grouped_folds(self) -> Split:
        """For cross-validation."""
        return make_split(self.data.examples, folds_plan(self.settings.folds, self.settings.seed))

    @cached_property
    def random_folds(self) -> Split:
        """Folds that part what belongs together."""
        return random_split(self.data.examples, folds_plan(self.settings.folds, self.settings.seed))

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Of the three variants; the search is made when it is not there yet."""
        return {**self.settings.recipes, TUNED: best(self.trials()).choice.applied(self._balanced)}

    def trials(self) -> list[Trial]:
        """The search, on the split's validation part."""
        path = self.folder / "search.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        return search(path, self.settings.trials, self.settings.seed, self._validation_auc)

    def scored(self, variant: str) -> tuple[ScoredExamples, ScoredExamples]:
        """Validation and test part of the split by a variant."""
        arrays = self._fixed(variant)
        return self._as_scored(self.split, VALIDATION, arrays), self._as_scored(
            self.split, TEST, arrays
        )

    def histories(self) -> dict[str, list[Epoch]]:
        """Epochs of the variants on the split."""
        return {
            variant: [Epoch(**one) for one in json.loads(self._fixed(variant)["history"].tobytes())]
            for variant in (RAW, BALANCED, TUNED)
        }

    def scored_folds(self, variant: str) -> dict[str, ScoredExamples]:
        """Test parts of the folds by a variant or a control."""
        folds = self.random_folds if variant == RANDOM_FOLDS else self.grouped_folds
        found = {}
        for number, name in enumerate(folds.parts):
            split = fold_as_test(self.data.examples, folds, number)
            path = self.folder / "folds" / f"{variant.replace(' ', '-')}-{number}.npz"
            arrays = arrays_once(path, partial(self._train_fold, variant, split))
            found[name] = self._as_scored(split, TEST, arrays)
        return found

    def metrics(self) -> Json:
        """All figures; computed when the last head is trained."""
        metrics: Json = json_once(self.folder / METRICS_FILE, self._measure)
        return metrics

    def draw_panels(self) -> None:
        """Grad-CAM++ of drawn test radiographs by the tuned network."""
        path = self.folder / GRADCAM_FILE
        if path.is_file():
            return
        _, test = self.scored(TUNED)
        recipe = self.recipes[TUNED]
        network = self._whole_network(recipe)
        rows, squares = self._global_rows(self.split, TEST), self._features.serving_squares
        drawn = list(drawn_by_outcome(test, self.settings.seed))
        chosen = {place: squares[rows[place]] for _, place in drawn}
        plot_panels(path, explain(network, recipe, GRAD_CAM_PLUS_PLUS, test, chosen, drawn))

    @property
    def _balanced(self) -> Recipe:
        return self.settings.recipes[BALANCED]

    @cached_property
    def _features(self) -> PooledFeatures:
        own = self.settings
        return PooledFeatures(own.data, self._balanced, own.weights, own.cache, self.report)

    @cached_property
    def _counts(self) -> npt.NDArray[np.int64]:
        """Copies wanted of every radiograph of the folder, none of other regions'."""
        counts = np.zeros(len(self.settings.data.examples), np.int64)
        counts[self.rows] = copies_per_radiograph(self._fractured, self.settings.copies)
        return counts

    @cached_property
    def _copies(self) -> list[npt.NDArray[np.float32]]:
        return self._features.copies(self._counts)

    @cached_property
    def _plain(self) -> npt.NDArray[np.float32]:
        return self._features.plain(self.rows)

    @cached_property
    def _fractured(self) -> npt.NDArray[np.bool_]:
        return np.array([example.fractured for example in self.data.examples], np.bool_)

    def _global_rows(self, split: Split, part: str) -> npt.NDArray[np.int64]:
        chosen: npt.NDArray[np.int64] = self.rows[list(split.rows(part))]
        return chosen

    def _as_scored(self, split: Split, part: str, arrays: Arrays) -> ScoredExamples:
        return ScoredExamples.of_part(self.data.examples, split, part, arrays[part])

    def _fixed(self, variant: str) -> Arrays:
        self._keep_split()
        path = self.folder / "heads" / f"{variant}.npz"
        return arrays_once(path, lambda: self._train_fixed(self.recipes[variant]))

    def _keep_split(self) -> None:
        path, own = self.folder / "split.json", self.settings
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_split(path, self.data, self.split, shares_plan(SHARES, own.seed))

    def _train_fixed(self, recipe: Recipe) -> Arrays:
        head = self._train(recipe, self.split, self._fractured)
        history = json.dumps([asdict(epoch) for epoch in head.history]).encode()
        return {
            **{part: self._log_odds(head, self.split, part) for part in (VALIDATION, TEST)},
            **{f"weights/{name}": array for name, array in head.weights.items()},
            "history": np.frombuffer(history, np.uint8),
        }

    def _train_fold(self, variant: str, split: Split) -> Arrays:
        labels, recipe = self._fractured, self.recipes.get(variant, self._balanced)
        if variant == SHUFFLED:
            # Of validation too: an epoch chosen by true labels knows something of them.
            for part in (TRAIN, VALIDATION):
                labels = shuffled_labels(labels, split, part, self.settings.seed)
        head = self._train(recipe, split, labels)
        return {part: self._log_odds(head, split, part) for part in (VALIDATION, TEST)}

    def _validation_auc(self, choice: Choice) -> float:
        head = self._train(choice.applied(self._balanced), self.split, self._fractured)
        validation = {VALIDATION: self._log_odds(head, self.split, VALIDATION)}
        scored = self._as_scored(self.split, VALIDATION, validation)
        return auc(scored.logits, scored.fractured)

    def _train(self, recipe: Recipe, split: Split, labels: npt.NDArray[np.bool_]) -> Head:
        train, held = list(split.rows(TRAIN)), list(split.rows(VALIDATION))
        copies = Copies(self._copies, self._counts, self._global_rows(split, TRAIN), labels[train])
        validation = Held(self._plain[held], labels[held])
        self._trained += 1

        def advance(epoch: Epoch) -> None:
            stage = f"training heads on {self.name}"
            detail = f"head {self._trained}, epoch {epoch.epoch}, loss {epoch.loss:.3f}"
            done = (self._trained - 1) * recipe.epochs + epoch.epoch
            self.report(Progress(stage, done, self._heads * recipe.epochs, detail))

        return train_head(recipe, copies, validation, advance)

    @cached_property
    def _heads(self) -> int:
        """To train, were none there yet."""
        return self.settings.trials + 3 + 5 * self.settings.folds

    def _log_odds(self, head: Head, split: Split, part: str) -> npt.NDArray[np.float64]:
        return head_log_odds(head.weights, self._plain[list(split.rows(part))])

    def _whole_network(self, recipe: Recipe) -> KerasModel:
        """With the tuned head in it."""
        network, _ = build_pretrained(recipe.architecture, self.settings.weights)
        head = {
            name.removeprefix("weights/"): array
            for name, array in self._fixed(TUNED).items()
            if name.startswith("weights/")
        }
        set_weights(network, {**get_weights(network), **head})
        return network

    def _measure(self) -> Json:
        variants = (RAW, BALANCED, TUNED)
        fixed = {variant: self.scored(variant) for variant in variants}
        folds = {name: self.scored_folds(name) for name in (*variants, SHUFFLED, RANDOM_FOLDS)}
        samples = self.settings.samples
        pairs = [*pairwise(variants), (RAW, TUNED)]
        return {
            "split": {name: measure(*one, samples) for name, one in fixed.items()},
            "folds": {name: measure_folds(one, samples) for name, one in folds.items()},
            "comparisons": {
                f"{second} less {first}": compare(fixed[second], fixed[first], samples)
                for first, second in pairs
            },
            "fold comparisons": {
                f"{second} less {first}": compare_folds(folds[second], folds[first], samples)
                for first, second in pairs
            },
            "share of test whose group is in training": {
                "grouped folds": self._share_seen(self.grouped_folds),
                "random folds": self._share_seen(self.random_folds),
            },
            "metadata": self._metadata(),
            "trials": [asdict(trial) for trial in self.trials()],
            "parts": {part: len(self.split.rows(part)) for part in self.split.parts},
        }

    def _share_seen(self, folds: Split) -> float:
        splits = [fold_as_test(self.data.examples, folds, one) for one in range(len(folds.parts))]
        return float(np.mean([share_seen(split) for split in splits]))

    def _metadata(self) -> list[Json]:
        return metadata(self.data, self.settings.seed, self.settings.samples, self.report)


def _rows(data: LabelledFolder, name: str) -> npt.NDArray[np.int64]:
    """Places among all radiographs of those that show the region and nothing else."""
    is_chosen = [name in (ALL_REGIONS, example.region) for example in data.examples]
    if not any(is_chosen):
        known = ", ".join(sorted({example.region for example in data.examples})) or "none"
        raise DataError(f"no radiograph is of the region {name!r}; the data's regions: {known}")
    return np.flatnonzero(is_chosen)


def _config(settings: PaperB, cohorts: Mapping[str, Cohort]) -> Json:
    """What decides the figures."""
    return {
        "experiment": "paper B",
        "data": settings.data.attribution,
        "splits": {name: cohort.split.digest for name, cohort in cohorts.items()},
        "weights": {
            "file": settings.weights.name if settings.weights else "",
            "sha256": weights_digest(settings.weights),
        },
        "copies": settings.copies,
        "trials": settings.trials,
        "folds": settings.folds,
        "seed": settings.seed,
        "samples": settings.samples,
        "recipes": {name: asdict(recipe) for name, recipe in settings.recipes.items()},
    }
