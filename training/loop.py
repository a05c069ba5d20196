"""The training loop: epochs, validation, checkpoints. Runs on every Keras backend.

A run that was killed goes on after its last finished epoch and ends as one that was never stopped:
weights, optimizer and finished epochs come from the checkpoint, everything random from (seed,
epoch), every decision from `history`.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from models.architectures import FRACTURED, MAP_LAYER, KerasModel, log_odds
from models.folding import with_folded_batch_normalization
from models.keras_weights import get_weights
from models.prediction import FloatArray
from training.batches import AugmentedBatches, Batch, Labels, Rows, network_inputs
from training.errors import RunError
from training.fracture_maps import focal_loss
from training.history import Epoch, best_epoch, is_better, is_over, learning_rate
from training.progress import Progress, Report
from training.recipe import Recipe
from training.run_folder import (
    BEST_FILE,
    KerasVariable,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_epochs,
)

LOGITS, MAP = "logits", "map"
"""Outputs of a network that learns."""
KerasLoss = Any
"""keras.losses.Loss; Any because keras ships no usable types."""
KerasMetric = Any
"""keras.metrics.Metric, likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Squares in [0, 1] as serving makes them, (all, size, size); which (n), and their labels."""

    squares: FloatArray
    rows: Rows
    fractured: Labels


def fit(
    network: KerasModel,
    recipe: Recipe,
    batches: AugmentedBatches,
    validation: Validation | None,
    out: Path,
    report: Report,
) -> list[Epoch]:
    """Train until the recipe's end, from the checkpoint in `out` if there is one.

    `out` then holds the weights of the best epoch in `BEST_FILE`. Without `validation` the recipe
    watches nothing, and the best epoch is the last.

    Raises:
        RunError: the loss or the validation is no longer finite, or the checkpoint is unreadable.
    """
    model = compiled(network, recipe)
    history = load_checkpoint(out, model)
    write_epochs(out, history)
    while not is_over(history, recipe):
        started = time.monotonic()
        rate = learning_rate(history, recipe)
        shown = _train_epoch(model, recipe, batches, len(history), rate, report)
        with _averaged_weights(model, recipe):
            figures = _validate(model, recipe, validation)
            seconds = round(time.monotonic() - started, 3)
            epoch = Epoch(
                epoch=len(history) + 1,
                loss=shown["loss"],
                accuracy=shown["accuracy"],
                **figures,
                learning_rate=rate,
                seconds=seconds,
            )
            if is_better(epoch, best_epoch(history, recipe.watched), recipe.watched):
                save_weights(out / BEST_FILE, get_weights(network))
        history.append(epoch)
        save_checkpoint(out, model, history)
        write_epochs(out, history)
    return history


def compiled(network: KerasModel, recipe: Recipe) -> KerasModel:
    """The network from pictures to logits with its loss and its optimizer, ready for steps."""
    outputs = {LOGITS: network.outputs[1]}
    losses: dict[str, Any] = {LOGITS: _label_loss(recipe)}
    if recipe.map_weight:
        outputs[MAP] = network.get_layer(MAP_LAYER).output
        losses[MAP] = focal_loss
    model = with_folded_batch_normalization(keras.Model(network.input, outputs))
    model.compile(
        optimizer=keras.optimizers.AdamW(
            recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            use_ema=recipe.average_decay > 0,
            ema_momentum=recipe.average_decay,
        ),
        loss=losses,
        loss_weights={LOGITS: 1.0, MAP: recipe.map_weight} if recipe.map_weight else None,
        metrics={LOGITS: [_accuracy(recipe)]},
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _label_loss(recipe: Recipe) -> KerasLoss:
    kinds = {1: keras.losses.BinaryCrossentropy, 2: keras.losses.CategoricalCrossentropy}
    kind = kinds[recipe.architecture.outputs]
    return kind(from_logits=True, label_smoothing=recipe.label_smoothing)


def _accuracy(recipe: Recipe) -> KerasMetric:
    if recipe.architecture.outputs == 1:
        return keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
    return keras.metrics.CategoricalAccuracy(name="accuracy")


def predicted_log_odds(
    model: KerasModel, recipe: Recipe, squares: FloatArray, rows: Rows
) -> npt.NDArray[np.float64]:
    """Log-odds of fracture (n) of the chosen ones of squares in [0, 1], (all, size, size)."""
    normalization = recipe.preprocessing.normalization
    logits = [
        model.predict_on_batch(inputs)[LOGITS]
        for inputs in network_inputs(squares, rows, normalization, recipe.batch_size)
    ]
    return np.asarray(log_odds(np.concatenate(logits)), np.float64)


def _train_epoch(
    model: KerasModel,
    recipe: Recipe,
    batches: AugmentedBatches,
    number: int,
    rate: float,
    report: Report,
) -> dict[str, float]:
    """All steps of one epoch; mean loss and accuracy over its radiographs."""
    model.optimizer.learning_rate = rate
    _seed_dropout(model, recipe.seed, number)
    weights = batches.class_weights() if recipe.class_weights else np.ones(2, np.float32)

    def tell(step: int, loss: float) -> None:
        done, total = number * len(batches) + step, recipe.epochs * len(batches)
        report(Progress("training", done, total, f"epoch {number + 1}, loss {loss:.3f}"))

    return train_batches(model, batches.epoch(number), weights, number, tell)


def train_batches(
    model: KerasModel,
    batches: Iterable[Batch],
    class_weights: npt.NDArray[np.float32],
    number: int,
    after_step: Callable[[int, float], None] = lambda *_: None,
) -> dict[str, float]:
    """A step per batch; mean loss and accuracy over all their radiographs.

    Args:
        number: of the epoch, from 0.
        after_step: told the step, from 1, and the mean loss so far.

    Raises:
        RunError: the loss is no longer finite.
    """
    sums, seen = {"loss": 0.0, "accuracy": 0.0}, 0
    for step, batch in enumerate(batches, start=1):
        figures = train_step(model, batch, class_weights)
        if not math.isfinite(figures["loss"]):
            raise RunError(
                f"the loss of epoch {number + 1}, step {step} is {figures['loss']}: "
                "try a smaller learning rate"
            )
        seen += len(batch.fractured)
        for name, figure in figures.items():
            sums[name] += len(batch.fractured) * figure
        after_step(step, sums["loss"] / seen)
    return {name: total / seen for name, total in sums.items()}


def train_step(
    model: KerasModel, batch: Batch, class_weights: npt.NDArray[np.float32]
) -> dict[str, float]:
    """One step of the optimizer; mean loss and accuracy of the batch, before the step."""
    model.reset_metrics()  # not every version of Keras does so by itself
    targets = {LOGITS: _targets(model, batch.fractured)}
    weights = {LOGITS: class_weights[batch.fractured.astype(np.int64)]}
    if batch.maps is not None:
        targets[MAP] = batch.maps[..., np.newaxis]
        weights[MAP] = np.ones(len(batch.maps), np.float32)
    figures = model.train_on_batch(batch.inputs, targets, sample_weight=weights, return_dict=True)
    return {"loss": float(figures["loss"]), "accuracy": float(_accuracy_of(figures))}


def _accuracy_of(figures: Mapping[str, float]) -> float:
    """Keras puts the output's name before a metric's where there are several outputs."""
    return figures.get("accuracy", figures.get(f"{LOGITS}_accuracy", math.nan))


def _targets(model: KerasModel, fractured: Labels) -> npt.NDArray[np.float32]:
    """(n, 1), or one-hot (n, 2) for a network with two logits."""
    yes = fractured.astype(np.float32)
    if model.output[LOGITS].shape[-1] == 1:
        return yes[:, np.newaxis]
    targets = np.stack([1 - yes, 1 - yes], axis=1)
    targets[:, FRACTURED] = yes
    return targets


def _validate(
    model: KerasModel, recipe: Recipe, validation: Validation | None
) -> dict[str, float | None]:
    if validation is None:
        return dict.fromkeys(("val_loss", "val_accuracy", "val_auc"))
    scores = predicted_log_odds(model, recipe, validation.squares, validation.rows)
    if not np.isfinite(scores).all():
        raise RunError("the network's answers on validation data are not finite numbers")
    against_label = np.where(validation.fractured, -scores, scores)
    return {
        "val_loss": float(np.logaddexp(0.0, against_label).mean()),
        "val_accuracy": float((against_label < 0).mean()),
        "val_auc": float(roc_auc_score(validation.fractured, scores)),
    }


def _seed_dropout(model: KerasModel, seed: int, epoch: int) -> None:
    """What a layer draws in an epoch then does not depend on what was drawn before."""
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.SeedSequence((seed, epoch, number)).generate_state(2)
            # Half the range: not every backend keeps the state unsigned.
            generator.state.assign(state >> 1)


@contextmanager
def _averaged_weights(model: KerasModel, recipe: Recipe) -> Iterator[None]:
    """Inside, the model has its averaged weights, if the recipe asks for them."""
    if not recipe.average_decay:
        yield
        return
    variables = model.trainable_variables
    kept = [np.asarray(variable).copy() for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    # As copies: JAX would share the averages' memory with the model and give it away in a step.
    _assign(variables, [np.asarray(variable).copy() for variable in variables])
    try:
        yield
    finally:
        _assign(variables, kept)


def _assign(variables: Sequence[KerasVariable], arrays: Sequence[npt.NDArray[np.float32]]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
