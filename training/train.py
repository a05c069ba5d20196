"""Trains a classifier by a recipe and writes it as a bundle with its card.

Every run is a folder: `recipe.json`, `split.json`, `epochs.jsonl`, checkpoints, `bundle/`. A run
that was stopped goes on after its last finished epoch when the same command is given again (or one
with more epochs); only patience counts anew.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from models.architectures import LOGIT_LAYER, KerasModel, build
from models.bundle import rounded_for_storage, save_bundle
from models.engine import get_weights, set_weights
from training.batches import AugmentedBatches, cache_radiographs, serving_inputs
from training.card import ModelName, ScoredExamples, make_card
from training.data.example import Example, LabelledFolder
from training.errors import DataError, RunError
from training.recipe import Recipe
from training.reference import reference_card
from training.split_file import save_split
from training.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    Stratum,
    fold_as_test,
    folds_plan,
    make_split,
)

RECIPE_FILE = "recipe.json"
SPLIT_FILE = "split.json"
EPOCHS_FILE = "epochs.jsonl"
BACKUP_FOLDER = "backup"
BEST_WEIGHTS = "best.weights.h5"
FOLDS = 6
"""One for test, one for validation, four for training."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run tells while it goes: a stage's name, how much is done of how much, and figures."""

    stage: str
    done: int
    total: int
    detail: str = ""


Report = Callable[[Progress], None]


def train(
    data: LabelledFolder,
    recipe: Recipe,
    *,
    name: ModelName,
    backbone_weights: Path,
    out: Path,
    report: Report = lambda _: None,
) -> Path:
    """Train, evaluate on the kept-back test part, write `out`/bundle and return its path.

    Args:
        backbone_weights: ImageNet weights of the backbone without its top (a Keras weights file).

    Raises:
        DataError: a picture or the weights file cannot be read, or the data are too few to split.
        RunError: `out` holds a run of another recipe or other data, or the network learned nothing.
    """
    if not backbone_weights.is_file():
        raise DataError(f"{backbone_weights} is missing; --weights names the ImageNet weights file")
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    plan = folds_plan(FOLDS, recipe.seed, [Stratum.LABEL])
    split = fold_as_test(data.examples, make_split(data.examples, plan), 0)
    _refuse_another_run(out, recipe, split)
    (out / RECIPE_FILE).write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    if not (out / SPLIT_FILE).is_file():
        save_split(out / SPLIT_FILE, data, split, plan)

    network = _pretrained(recipe, backbone_weights)
    _fit(network, recipe, data.examples, split, out, report)
    network.load_weights(out / BEST_WEIGHTS)
    weights = rounded_for_storage(get_weights(network))
    set_weights(network, weights)

    validation, test = (
        _score(network, data.examples, split, part, recipe) for part in (VALIDATION, TEST)
    )
    card = make_card(name, recipe, split, data.attribution, validation=validation, test=test)
    card["reference"] = reference_card(data.examples, split, card, validation)
    save_bundle(out / "bundle", card, weights)
    return out / "bundle"


def _refuse_another_run(out: Path, recipe: Recipe, split: Split) -> None:
    """Weights that were trained on another split may have seen this one's test part."""
    if not (out / SPLIT_FILE).is_file():
        return
    there, here = json.loads((out / RECIPE_FILE).read_text()), asdict(recipe)
    differing = [key for key in here if key != "epochs" and there.get(key) != here[key]]
    if json.loads((out / SPLIT_FILE).read_text())["digest"] != split.digest:
        differing.append("split of the data")
    if differing:
        raise RunError(
            f"{out} holds a run with another {', '.join(differing)}; repeat that run's command to "
            "go on with it, or name another folder with --out"
        )


def _pretrained(recipe: Recipe, backbone_weights: Path) -> KerasModel:
    try:
        return build(recipe.architecture, backbone_weights=backbone_weights)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{backbone_weights} is not a Keras weights file (.weights.h5) of "
            f"{recipe.architecture.name} without its top: {error}"
        ) from error


def _cache(examples: Sequence[Example], recipe: Recipe, report: Report) -> npt.NDArray[np.uint8]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(Progress("reading radiographs", done, len(examples)))

    return cache_radiographs(examples, recipe.preprocessing, tick)


def _fit(
    network: KerasModel,
    recipe: Recipe,
    examples: Sequence[Example],
    split: Split,
    out: Path,
    report: Report,
) -> None:
    training = [examples[row] for row in split.rows(TRAIN)]
    validation = [examples[row] for row in split.rows(VALIDATION)]
    history = _read_history(out)
    labels = _labels(training)
    batches = AugmentedBatches(
        _cache(training, recipe, report),
        labels,
        recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first_epoch=len(history),
    )
    model = keras.Model(network.input, network.get_layer(LOGIT_LAYER).output)
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.AUC(from_logits=True, name="auc")],
    )
    model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,  # the batches shuffle themselves, by the recipe's seed
        validation_data=(
            serving_inputs(validation, recipe.preprocessing),
            _labels(validation),
        ),
        class_weight=_class_weights(labels),
        callbacks=_callbacks(recipe, out, network, history, len(batches), report),
        verbose=0,
    )


def _labels(examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    return np.array([example.fractured for example in examples], np.float32)


def _class_weights(labels: npt.NDArray[np.float32]) -> dict[int, float]:
    """Inverse frequency, mean 1 over the examples (paper A, class weights)."""
    fractured = float(labels.mean())
    return {0: 0.5 / (1.0 - fractured), 1: 0.5 / fractured}


def _callbacks(
    recipe: Recipe,
    out: Path,
    network: KerasModel,
    history: Sequence[dict[str, float]],
    batches: int,
    report: Report,
) -> list[keras.callbacks.Callback]:
    best = max((epoch["val_auc"] for epoch in history), default=None)
    watched = {"monitor": "val_auc", "mode": "max"}
    backup = keras.callbacks.BackupAndRestore(
        out / BACKUP_FOLDER, double_checkpoint=True, delete_checkpoint=False
    )
    return [
        _SaveBest(network, out / BEST_WEIGHTS, best),
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=recipe.plateau_epochs, **watched),
        keras.callbacks.EarlyStopping(patience=recipe.patience, **watched),
        _EpochLog(out / EPOCHS_FILE, recipe.epochs, batches, report),
        backup,  # last: an epoch is finished when all of the above have seen it
    ]


class _SaveBest(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Keeps the weights of the best validation AUC of all runs into this folder."""

    def __init__(self, network: KerasModel, path: Path, best: float | None) -> None:
        super().__init__()
        self._network, self._path = network, path
        self._best = -1.0 if best is None else best

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs and logs["val_auc"] > self._best:
            self._best = logs["val_auc"]
            unfinished = self._path.with_name(f"unfinished.{self._path.name}")
            self._network.save_weights(unfinished)
            unfinished.replace(self._path)


class _EpochLog(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """One JSON line per epoch, also where one is run again, and progress by batch."""

    def __init__(self, path: Path, epochs: int, batches: int, report: Report) -> None:
        super().__init__()
        self._path, self._total, self._batches, self._report = (
            path,
            epochs * batches,
            batches,
            report,
        )
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch
        lines = self._path.read_text().splitlines(keepends=True) if self._path.is_file() else []
        if len(lines) > epoch:
            self._path.write_text("".join(lines[:epoch]))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = self._epoch * self._batches + batch + 1
        loss = f"epoch {self._epoch + 1}, loss {(logs or {}).get('loss', float('nan')):.3f}"
        self._report(Progress("training", done, self._total, loss))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        line = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        with self._path.open("a") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno())


def _score(
    network: KerasModel,
    examples: Sequence[Example],
    split: Split,
    part: str,
    recipe: Recipe,
) -> ScoredExamples:
    rows = split.rows(part)
    scored = [examples[row] for row in rows]
    inputs = serving_inputs(scored, recipe.preprocessing)
    _, logits = network.predict(inputs, recipe.batch_size, verbose=0)
    return ScoredExamples(
        logits=np.asarray(logits[:, 0], np.float64),
        fractured=np.array([example.fractured for example in scored]),
        hardware=np.array([example.hardware is not False for example in scored]),
        groups=np.array([split.groups[row] for row in rows], np.int32),
    )


def _read_history(out: Path) -> list[dict[str, float]]:
    """The finished epochs: those that the backup holds. A later line's epoch is run again."""
    log, backup = out / EPOCHS_FILE, out / BACKUP_FOLDER / "training_metadata.json"
    finished = json.loads(backup.read_text())["epoch"] if backup.is_file() else 0
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines[:finished]]
