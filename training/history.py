"""What a run has done so far, and what follows from it: pure functions of the finished epochs.

Nothing else decides when to stop, which epoch is kept and how fast to learn, so a run that goes on
after a kill decides as if it had never been stopped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.recipe import Recipe, Schedule, Watched

PLATEAU_FACTOR = 0.5
WARM_UP_FACTOR = 0.1


@dataclass(frozen=True, slots=True)
class Epoch:
    """One finished epoch: a line of the run's log."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the training steps, with class weights."""
    accuracy: float
    """Of the training steps, with augmentation and dropout."""
    val_loss: float | None
    """None, as the next two: no validation data."""
    val_accuracy: float | None
    """At the probability one half."""
    val_auc: float | None
    learning_rate: float
    seconds: float
    """Training steps and validation."""


History = Sequence[Epoch]


def is_better(epoch: Epoch, than: Epoch | None, watched: Watched) -> bool:
    """Whether an epoch's watched figure is the better one; any epoch is better than none, and
    where nothing is watched the later one is."""
    if than is None or watched == Watched.NOTHING:
        return True
    return _figure(epoch, watched) > _figure(than, watched)


def best_epoch(history: History, watched: Watched) -> Epoch | None:
    """The first epoch with the best watched figure."""
    best: Epoch | None = None
    for epoch in history:
        if is_better(epoch, best, watched):
            best = epoch
    return best


def is_over(history: History, recipe: Recipe) -> bool:
    """Whether the epochs are used up, or patience is."""
    if recipe.schedule == Schedule.COSINE:
        return len(history) >= recipe.epochs
    best = best_epoch(history, recipe.watched)
    waited = len(history) - best.epoch if best else 0
    return len(history) >= recipe.epochs or waited >= recipe.patience


def learning_rate(history: History, recipe: Recipe) -> float:
    """Of the next epoch, by the recipe's schedule."""
    if recipe.schedule == Schedule.COSINE:
        return recipe.learning_rate * _cosine(len(history), recipe.epochs)
    rate, waited = recipe.learning_rate, 0
    best: Epoch | None = None
    for epoch in history:
        if is_better(epoch, best, recipe.watched):
            best, waited = epoch, 0
            continue
        waited += 1
        if waited == recipe.plateau_epochs:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate


def _cosine(finished: int, epochs: int) -> float:
    if finished == 0 and epochs > 1:
        return WARM_UP_FACTOR
    return 0.5 * (1.0 + math.cos(math.pi * finished / epochs))


def _figure(epoch: Epoch, watched: Watched) -> float:
    figure = epoch.val_auc if watched == Watched.AUC else epoch.val_loss
    if figure is None or not math.isfinite(figure):
        return -math.inf
    return figure if watched == Watched.AUC else -figure
