"""Paper B's Bayesian search over the head, by KerasTuner's oracle.

The oracle is asked anew from its seed and told the finished trials again, so a search that was
stopped goes on with the trial it would have made. What is kept is one JSON file of ours.
"""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras_tuner
from sklearn.exceptions import ConvergenceWarning

from training.experiments.stages import write_json
from training.recipe import Recipe

INITIAL_POINTS = 4
"""Trials drawn at random before the Gaussian process chooses; KerasTuner's own default, three per
dimension, would leave one trial of ten to it."""
OBJECTIVE = "val_auc"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is searched over."""

    dropout: float
    hidden_units: int
    learning_rate: float

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with this head."""
        architecture = replace(
            recipe.architecture, dropout=self.dropout, hidden_units=self.hidden_units
        )
        return replace(recipe, architecture=architecture, learning_rate=self.learning_rate)


@dataclass(frozen=True, slots=True)
class Trial:
    """A choice and its validation AUC."""

    choice: Choice
    val_auc: float


def search(path: Path, trials: int, seed: int, score: Callable[[Choice], float]) -> list[Trial]:
    """All trials in their order; `path` holds the finished ones.

    Left open by the paper: dropout 0.1 to 0.6 in tenths, 128 to 1,024 units in steps of 128,
    learning rate 1e-5 to 1e-2 by its logarithm; the objective is the validation AUC.
    """
    done = _finished(path)
    if len(done) >= trials:
        return done[:trials]

    def scored(number: int, choice: Choice) -> float:
        if number < len(done) and done[number].choice == choice:
            return done[number].val_auc
        del done[number:]
        done.append(Trial(choice, score(choice)))
        write_json(path, [asdict(trial) for trial in done])
        return done[number].val_auc

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        # Of a Gaussian process on a handful of trials.
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            max_trials=trials,
            num_initial_points=INITIAL_POINTS,
            seed=seed,
        )
        _Tuner(oracle, scored, folder).search(verbose=0)
    return done


def best(trials: list[Trial]) -> Trial:
    """The first with the highest figure."""
    return max(trials, key=lambda trial: trial.val_auc)


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):  # type: ignore[misc]  # ships no types
    """Asks the oracle for trials and hands their values to `scored`."""

    def __init__(self, oracle: Any, scored: Callable[[int, Choice], float], folder: str) -> None:
        self._scored = scored
        self._number = 0
        super().__init__(oracle, directory=folder, project_name="search")

    def _populate_initial_space(self) -> None:
        """There is no model to be asked for its space."""
        space = self.oracle.get_space()
        _declare(space)
        self.oracle.update_space(space)

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Any: KerasTuner's."""
        values = trial.hyperparameters.values
        choice = Choice(
            round(float(values["dropout"]), 4),
            int(values["hidden_units"]),
            float(values["learning_rate"]),
        )
        self._number += 1
        return {OBJECTIVE: self._scored(self._number - 1, choice)}

    def save_model(self, *_: Any, **__: Any) -> None:
        """Nothing to save: a head trains in seconds."""

    def load_model(self, *_: Any, **__: Any) -> None:
        """Nothing to load."""


def _declare(space: Any) -> None:  # Any: KerasTuner's
    space.Float("dropout", 0.1, 0.6, step=0.1)
    space.Int("hidden_units", 128, 1024, step=128)
    space.Float("learning_rate", 1e-5, 1e-2, sampling="log")


def _finished(path: Path) -> list[Trial]:
    if not path.is_file():
        return []
    stored = json.loads(path.read_text())
    return [Trial(Choice(**trial["choice"]), trial["val_auc"]) for trial in stored]
