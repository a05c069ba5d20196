"""A classifier's head, trained on pooled features as the whole network would train it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from models.architectures import HIDDEN_LAYER, LOGIT_LAYER, KerasModel, build_head, log_odds
from models.bundle import Weights
from models.keras_weights import get_weights
from models.prediction import FloatArray
from training.batches import Batch, Labels, Rows, inverse_frequency, shuffled_places
from training.history import Epoch, best_epoch, is_better, is_over, learning_rate
from training.loop import compiled, train_batches
from training.recipe import Recipe
from training.statistics.figures import auc

Scores = npt.NDArray[np.float64]
Advance = Callable[[Epoch], None]


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The training part as features of augmented copies."""

    features: Sequence[FloatArray]
    """Copy 0, 1, … of all radiographs, (all, channels) each."""
    counts: npt.NDArray[np.int64]
    """How many copies there are of each radiograph (all)."""
    rows: Rows
    """Which are for training (n)."""
    fractured: Labels
    """Of these (n)."""

    @property
    def channels(self) -> int:
        """Features per radiograph."""
        return int(self.features[0].shape[1])

    def shown(self, recipe: Recipe, epoch: int) -> Rows:
        """Places in `rows` in an epoch's order."""
        random = np.random.default_rng((recipe.seed, epoch))
        return shuffled_places(self.fractured, random, oversampling=recipe.oversampling)

    def batches(self, recipe: Recipe, epoch: int) -> Iterator[Batch]:
        """All of an epoch. A radiograph that is shown again comes as its next copy."""
        places = self.shown(recipe, epoch)
        random = np.random.default_rng((recipe.seed, epoch, 1))
        offsets = random.integers(1 << 30, size=len(self.rows))
        which = (offsets[places] + _repetitions(places)) % self.counts[self.rows[places]]
        for start in range(0, len(places), recipe.batch_size):
            chosen = slice(start, start + recipe.batch_size)
            pairs = zip(which[chosen], self.rows[places[chosen]], strict=True)
            inputs = np.stack([self.features[copy][row] for copy, row in pairs])
            yield Batch(inputs, self.fractured[places[chosen]])


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Radiographs to validate on: plain features (n, channels), labels (n)."""

    features: FloatArray
    fractured: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained head: arrays named as in the whole network, and its epochs."""

    weights: Weights
    history: tuple[Epoch, ...]


def train_head(
    recipe: Recipe, copies: Copies, validation: Held, advance: Advance = lambda _: None
) -> Head:
    """Train by a recipe whose backbone is frozen; the best epoch's weights are kept.

    Raises:
        RunError: the loss is no longer finite.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(recipe.seed)
    network = build_head(recipe.architecture, copies.channels)
    model = compiled(network, recipe)
    history: list[Epoch] = []
    kept = get_weights(network)
    while not is_over(history, recipe):
        rate = learning_rate(history, recipe)
        shown = _train_epoch(model, recipe, copies, len(history), rate)
        weights = get_weights(network)
        epoch = Epoch(
            epoch=len(history) + 1,
            **shown,
            **_figures(head_log_odds(weights, validation.features), validation.fractured),
            learning_rate=rate,
            seconds=0.0,
        )
        if is_better(epoch, best_epoch(history, recipe.watched), recipe.watched):
            kept = {name: array.copy() for name, array in weights.items()}
        history.append(epoch)
        advance(epoch)
    return Head(kept, tuple(history))


def head_log_odds(weights: Weights, features: FloatArray) -> Scores:
    """Log-odds of fracture (n) of pooled features (n, channels), as the whole network does."""
    hidden = features @ weights[f"{HIDDEN_LAYER}/kernel"] + weights[f"{HIDDEN_LAYER}/bias"]
    logits = np.maximum(hidden, 0.0) @ weights[f"{LOGIT_LAYER}/kernel"]
    return np.asarray(log_odds(logits + weights[f"{LOGIT_LAYER}/bias"]), np.float64)


def _train_epoch(
    model: KerasModel, recipe: Recipe, copies: Copies, number: int, rate: float
) -> dict[str, float]:
    """Mean loss and accuracy over what it showed."""
    model.optimizer.learning_rate = rate
    weights = np.ones(2, np.float32)
    if recipe.class_weights:
        weights = inverse_frequency(copies.fractured[copies.shown(recipe, number)])
    return train_batches(model, copies.batches(recipe, number), weights, number)


def _figures(scores: Scores, fractured: Labels) -> dict[str, float]:
    against_label = np.where(fractured, -scores, scores)
    return {
        "val_loss": float(np.logaddexp(0.0, against_label).mean()),
        "val_accuracy": float((against_label < 0).mean()),
        "val_auc": auc(scores, fractured),
    }


def _repetitions(places: Rows) -> Rows:
    """How often each place came before in the same order: 0, 1, …"""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    starts = np.searchsorted(ordered, ordered, "left")
    counted = np.empty_like(places)
    counted[order] = np.arange(len(places)) - starts
    return counted
