"""Decisions that follow from the finished epochs alone."""

from dataclasses import replace

import pytest

from training.history import Epoch, best_epoch, is_better, is_over, learning_rate
from training.recipe import Recipe, Watched

AUC = Recipe(epochs=20, patience=3, plateau_epochs=2, learning_rate=0.8)
LOSS = replace(AUC, watched=Watched.LOSS)


def test_nothing_is_over_before_it_began() -> None:
    assert not is_over([], AUC)
    assert best_epoch([], Watched.AUC) is None
    assert learning_rate([], AUC) == 0.8


def test_the_first_of_equal_epochs_is_the_best_by_auc_or_by_loss() -> None:
    history = make_history([0.5, 0.7, 0.7, 0.6], losses=[0.3, 0.5, 0.2, 0.2])
    assert best_epoch(history, Watched.AUC) == history[1]
    assert best_epoch(history, Watched.LOSS) == history[2]


@pytest.mark.parametrize("watched", [Watched.AUC, Watched.LOSS])
def test_a_figure_that_is_not_a_number_is_worse_than_any(watched: Watched) -> None:
    broken, sound = make_history([float("nan"), 0.1], losses=[float("nan"), 9.0])
    assert is_better(sound, broken, watched)
    assert not is_better(broken, sound, watched)


def test_where_nothing_is_watched_the_last_epoch_is_kept() -> None:
    history = make_history([0.9, 0.5], losses=[0.1, 0.5])
    assert best_epoch(history, Watched.NOTHING) == history[1]
    with pytest.raises(ValueError, match="cosine"):
        replace(AUC, watched=Watched.NOTHING)


@pytest.mark.parametrize(
    ("aucs", "expected"),
    [
        ([0.5, 0.4, 0.4], False),
        ([0.5, 0.4, 0.4, 0.5], True),
        ([0.5, 0.4, 0.4, 0.6], False),
        ([0.5, 0.4, 0.4, 0.6, 0.1, 0.1, 0.1], True),
    ],
)
def test_training_is_over_when_patience_is_used_up(aucs: list[float], expected: bool) -> None:
    assert is_over(make_history(aucs), AUC) == expected


def test_training_is_over_when_the_epochs_are_used_up() -> None:
    rising = make_history([number / 100 for number in range(20)])
    assert not is_over(rising[:-1], AUC)
    assert is_over(rising, AUC)


@pytest.mark.parametrize(
    ("losses", "rate"),
    [
        ([0.5, 0.6], 0.8),
        ([0.5, 0.6, 0.6], 0.4),
        ([0.5, 0.6, 0.6, 0.6], 0.4),
        ([0.5, 0.6, 0.6, 0.6, 0.6], 0.2),
        ([0.5, 0.6, 0.6, 0.6, 0.4, 0.6], 0.4),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0.8),
    ],
)
def test_the_learning_rate_halves_on_every_plateau(losses: list[float], rate: float) -> None:
    assert learning_rate(make_history([0.5] * len(losses), losses=losses), LOSS) == rate


def make_history(aucs: list[float], losses: list[float] | None = None) -> list[Epoch]:
    losses = losses or [0.5] * len(aucs)
    return [
        Epoch(number, 0.5, 0.8, loss, 0.8, auc, 1e-4, 60.0)
        for number, (auc, loss) in enumerate(zip(aucs, losses, strict=True), start=1)
    ]
