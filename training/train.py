"""Trains a classifier by a recipe and writes it as a bundle with its card.

Every run is a folder (`run_folder`). A run that was stopped, also by a kill, goes on with `resume`
after its last finished epoch and ends as if it had never been stopped.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from models.architectures import FEATURES_LAYER, KerasModel
from models.bundle import Weights, rounded_for_storage, save_bundle
from models.errors import PretrainedError
from models.folding import with_folded_batch_normalization
from models.keras_weights import set_weights
from models.prediction import FloatArray
from models.preprocessing import Shape, letterbox_of
from models.pretrained import Pretrained, build_pretrained, folded_batch_normalizations
from models.scope import Scope
from training.batch_normalization import restore_statistics
from training.batches import AugmentedBatches, Labels, MapTargets, Rows, network_inputs
from training.cache import serving_squares, training_shape, training_squares
from training.card import ModelName, make_card, rejections, split_facts
from training.data.example import Box, Example, LabelledFolder
from training.data.pixels import read_pixels
from training.errors import DataError, RunError
from training.fracture_maps import boxes_in_square
from training.freezing import batch_normalizations_that_learn, freeze
from training.loop import Validation, compiled, fit, predicted_log_odds
from training.onnx_export import add_network, can_export
from training.progress import Report, counting
from training.recipe import Recipe, Schedule, recipe_from_toml, recipe_to_toml
from training.reference import reference_card
from training.run_folder import (
    BEST_FILE,
    BUNDLE_FOLDER,
    CHECKPOINT_FILE,
    PRETRAINED_FILE,
    RECIPE_FILE,
    SPLIT_FILE,
    load_weights,
    write_text,
)
from training.scope import VARIATIONS, fit_scope, outside_scope
from training.scored import ScoredExamples, decide, figures, judge, metrics
from training.split_file import save_split
from training.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Plan,
    Split,
    Stratum,
    fold_as_test,
    folds_plan,
    make_split,
)

CACHE_FOLDER = "cache"
FOLDS = 6
"""Of the split of a run that is given none: one for test, one for validation, four to train."""


def train(
    data: LabelledFolder,
    recipe: Recipe,
    *,
    name: ModelName,
    out: Path,
    backbone_weights: Path | None = None,
    split: Split | None = None,
    resume: bool = False,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Path:
    """Train, evaluate on the kept-back test part, write `out`/bundle and return its path.

    Args:
        backbone_weights: pretrained weights of the backbone (`models.pretrained` says which files);
            without them it starts random.
        split: with a train, a validation and a test part; if None, folds by the recipe's seed.
        resume: go on with the run that `out` holds; without it a folder with a run is refused.
        cache: where decoded radiographs are kept, for other runs too; `out`/cache if None.

    Raises:
        DataError: a picture or the weights file cannot be read, the data are too few to split, or
            the split has other parts.
        RunError: `out` holds no run to go on with, or one of another recipe, other weights or other
            data, or the network learned nothing.
        RecipeError: the recipe names a layer that its network does not have.
    """
    plan = folds_plan(FOLDS, recipe.seed, [Stratum.LABEL])
    chosen = split or fold_as_test(data.examples, make_split(data.examples, plan), 0)
    _refuse_other_parts(chosen)
    learned = learn(
        data,
        recipe,
        chosen,
        plan,
        out=out,
        backbone_weights=backbone_weights,
        resume=resume,
        cache=cache,
        report=report,
    )
    validation, test = learned.score(VALIDATION), learned.score(TEST)
    decision = decide(validation)
    card = make_card(
        name,
        recipe,
        data,
        decision,
        pretrained=learned.pretrained,
        cells=learned.cells,
        facts=split_facts(data, chosen, recipe, learned.pretrained, is_given=split is not None),
        metrics={
            VALIDATION: figures(validation, judge(validation, decision), decision.points),
            **metrics(TEST, test, judge(test, decision), decision.points),
        },
    )
    card["reference"] = reference_card(
        [data.examples[row] for row in chosen.rows(VALIDATION)],
        judge(validation, decision).probabilities,
    )
    scope = learned.scope()
    card["scope"] |= rejections({TEST: learned.rejected(TEST, scope)})
    save_bundle(out / BUNDLE_FOLDER, card, learned.weights, scope)
    if can_export():
        add_network(out / BUNDLE_FOLDER)
    return out / BUNDLE_FOLDER


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A network at the end of its run, with the weights as a bundle stores them."""

    network: KerasModel
    weights: Weights
    pretrained: Pretrained
    radiographs: "_Radiographs"

    @property
    def cells(self) -> Shape:
        """Of the grid of the features that are explained."""
        return _cells(self.network)

    def score(self, part: str) -> ScoredExamples:
        """Logits of a part of the run's split, as serving would compute them."""
        radiographs, rows = self.radiographs, self.radiographs.rows(part)
        recipe = radiographs.recipe
        model = compiled(self.network, recipe)
        logits = predicted_log_odds(model, recipe, radiographs.serving_squares(), rows)
        return ScoredExamples.of_part(radiographs.examples, radiographs.split, part, logits)

    def scope(self) -> Scope:
        """What the training part tells of the kind of picture that the network knows."""
        radiographs, rows = self.radiographs, list(self.radiographs.split.rows(TRAIN))
        return fit_scope(
            with_folded_batch_normalization(self.network),
            radiographs.recipe.preprocessing,
            radiographs.serving_squares(),
            rows,
            [radiographs.split.groups[row] for row in rows],
            seed=radiographs.recipe.seed,
            on_progress=counting(
                "fitting the scope", (1 + VARIATIONS) * len(rows), radiographs.report
            ),
        )

    def rejected(self, part: str, scope: Scope) -> Labels:
        """Which radiographs (n) of a part would be left unanalysed."""
        radiographs, rows = self.radiographs, list(self.radiographs.split.rows(part))
        return outside_scope(
            scope,
            with_folded_batch_normalization(self.network),
            radiographs.recipe.preprocessing,
            radiographs.serving_squares(),
            rows,
            counting("measuring the scope", len(rows), radiographs.report),
        )


def learn(
    data: LabelledFolder,
    recipe: Recipe,
    split: Split,
    plan: Plan,
    *,
    out: Path,
    backbone_weights: Path | None = None,
    resume: bool = False,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Learned:
    """Train on the split's train part by a recipe, in a run's folder; arguments as `train` has.

    A recipe that watches nothing needs no validation part.

    Raises:
        DataError, RunError, RecipeError: as `train`.
    """
    keras.utils.set_random_seed(recipe.seed)
    network, pretrained = _pretrained(recipe, backbone_weights)
    _check_run_folder(out, recipe, split, pretrained, resume=resume)
    if not resume:
        _begin(out, data, split, plan, pretrained)
    write_text(out / RECIPE_FILE, recipe_to_toml(recipe))
    radiographs = _Radiographs(data, split, recipe, cache or out / CACHE_FOLDER, report)
    _fit(network, recipe, radiographs, out)
    weights = rounded_for_storage(load_weights(out / BEST_FILE))
    set_weights(network, weights)
    return Learned(network, weights, pretrained, radiographs)


class _Radiographs:
    """The examples of a run and their squares: of all parts in one, for other splits to share."""

    def __init__(
        self, data: LabelledFolder, split: Split, recipe: Recipe, cache: Path, report: Report
    ) -> None:
        self.examples, self.split, self.recipe = data.examples, split, recipe
        self.report = report
        self._cache = cache
        self._all_fractured = np.array([one.fractured for one in data.examples], np.bool_)

    def rows(self, part: str) -> Rows:
        """Places in the examples and in squares (n)."""
        return np.array(self.split.rows(part), np.int64)

    def fractured(self, part: str) -> Labels:
        """Labels (n) of a part."""
        chosen: Labels = self._all_fractured[self.rows(part)]
        return chosen

    def serving_squares(self) -> FloatArray:
        """As serving makes them, (all, rows, columns)."""
        tick = counting("reading radiographs to serve", len(self.examples), self.report)
        return serving_squares(self.examples, self.recipe.preprocessing, self._cache, tick)

    def batches(self, cells: Shape) -> AugmentedBatches:
        """The training part; `cells` is the shape of a fracture map's grid."""
        recipe = self.recipe
        tick = counting("reading radiographs to train", len(self.examples), self.report)
        return AugmentedBatches(
            squares=training_squares(self.examples, recipe.preprocessing, self._cache, tick),
            rows=self.rows(TRAIN),
            fractured=self.fractured(TRAIN),
            augmentation=recipe.augmentation,
            normalization=recipe.preprocessing.normalization,
            input_shape=recipe.preprocessing.shape,
            batch_size=recipe.batch_size,
            oversampling=recipe.oversampling,
            seed=recipe.seed,
            map_targets=MapTargets(self._boxes(), cells) if recipe.map_weight else None,
        )

    def _boxes(self) -> list[list[Box]]:
        """Of every example, in its cached square's pixels."""
        own = self.recipe.preprocessing
        shape = training_shape(own)
        return [
            boxes_in_square(one.boxes, letterbox_of(read_pixels(one.path), own, shape))
            if one.boxes
            else []
            for one in self.examples
        ]


def _refuse_other_parts(split: Split) -> None:
    if missing := {TRAIN, VALIDATION, TEST} - set(split.parts):
        raise DataError(
            f"the split has the parts {', '.join(split.parts)} and not {', '.join(sorted(missing))}"
            "; `data split --shares 72/18/10` makes one to train on"
        )


def _pretrained(recipe: Recipe, weights: Path | None) -> tuple[KerasModel, Pretrained]:
    """The network as the recipe wants it trained."""
    if weights is not None and not weights.is_file():
        raise DataError(f"{weights} is missing; --weights names the pretrained weights")
    try:
        network, pretrained = build_pretrained(recipe.architecture, weights)
    except PretrainedError as error:
        raise DataError(f"{error}; --weights names the pretrained weights") from error
    freeze(network, recipe.freezing, pretrained.random)
    return network, pretrained


def _check_run_folder(
    out: Path, recipe: Recipe, split: Split, pretrained: Pretrained, *, resume: bool
) -> None:
    """Weights that were trained on another split may have seen this one's test part."""
    holds_a_run = (out / RECIPE_FILE).is_file()
    if resume and not holds_a_run:
        raise RunError(f"{out} holds no run to go on with; leave --resume out to begin one")
    if not holds_a_run:
        return
    if differing := list(_differing(out, recipe, split, pretrained)):
        raise RunError(
            f"{out} holds a run with another {', '.join(differing)}; repeat that run's command "
            "with --resume to go on with it, or name another folder with --out"
        )
    if not resume:
        raise RunError(
            f"{out} holds a run of this recipe; go on with it by --resume, or name another folder "
            "with --out"
        )


def _differing(out: Path, recipe: Recipe, split: Split, pretrained: Pretrained) -> Iterator[str]:
    """More epochs are the one thing that a run may go on with, unless they set its schedule."""
    path = out / RECIPE_FILE
    there, here = asdict(recipe_from_toml(path.read_text(), str(path))), asdict(recipe)
    may_differ = {"epochs"} if recipe.schedule == Schedule.PLATEAU else set()
    yield from (key for key in here if key not in may_differ and there[key] != here[key])
    if json.loads((out / SPLIT_FILE).read_text())["digest"] != split.digest:
        yield "split of the data"
    if json.loads((out / PRETRAINED_FILE).read_text())["sha256"] != pretrained.sha256:
        yield "file of weights"


def _begin(
    out: Path, data: LabelledFolder, split: Split, plan: Plan, pretrained: Pretrained
) -> None:
    """The file of the recipe is written last: what a kill left before it is begun anew."""
    out.mkdir(parents=True, exist_ok=True)
    (out / SPLIT_FILE).unlink(missing_ok=True)
    save_split(out / SPLIT_FILE, data, split, plan)
    write_text(out / PRETRAINED_FILE, json.dumps(asdict(pretrained), indent=2) + "\n")


def _fit(network: KerasModel, recipe: Recipe, radiographs: _Radiographs, out: Path) -> None:
    _refuse_without_boxes(recipe, radiographs.examples)
    batches = radiographs.batches(_cells(network))
    if not (out / CHECKPOINT_FILE).is_file():
        _restore_statistics(network, radiographs)
    fit(
        network,
        recipe,
        batches,
        _validation(radiographs),
        out,
        radiographs.report,
    )


def _cells(network: KerasModel) -> Shape:
    _, rows, columns, _ = network.get_layer(FEATURES_LAYER).output.shape
    return rows, columns


def _validation(radiographs: _Radiographs) -> Validation | None:
    if VALIDATION not in radiographs.split.parts:
        return None
    return Validation(
        radiographs.serving_squares(),
        radiographs.rows(VALIDATION),
        radiographs.fractured(VALIDATION),
    )


def _refuse_without_boxes(recipe: Recipe, examples: Sequence[Example]) -> None:
    if recipe.map_weight and not any(one.boxes for one in examples):
        raise DataError(
            "no radiograph has a fracture box, which the recipe's fracture map learns from; give "
            "boxes (FracAtlas' fracture_boxes.csv, the column boxes of labels.csv) or take a "
            "recipe without map_weight and architecture.map_channels"
        )


def _restore_statistics(network: KerasModel, radiographs: _Radiographs) -> None:
    """Where batch normalisation is to use batches' statistics but has none of its own."""
    learning = batch_normalizations_that_learn(network)
    folded = [layer for layer in folded_batch_normalizations(network) if layer in learning]
    if not folded:
        return
    recipe, rows = radiographs.recipe, radiographs.rows(TRAIN)
    squares = radiographs.serving_squares()
    tick = counting("measuring statistics", len(rows), radiographs.report)

    def inputs() -> Iterator[FloatArray]:
        normalization = recipe.preprocessing.normalization
        for batch in network_inputs(squares, rows, normalization, recipe.batch_size):
            yield batch
            for _ in batch:
                tick()

    restore_statistics(network, folded, inputs())
