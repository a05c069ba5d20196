"""A whole tiny training as a process of its own, to be killed or run on another Keras backend.

`python -m tests.unit.training.tiny_run DATA WEIGHTS OUT [--resume | STEP]`; after STEP it sends
itself SIGKILL.
"""

import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from models import architectures
from models.architectures import Architecture
from tests.unit.training.labelled_folders import INPUT_SIZE, TINY, make_recipe, tiny_backbone
from training import scored
from training.card import ModelName
from training.data.layouts import read_labelled_folder
from training.freezing import BatchNormalization, Freezing
from training.progress import Progress
from training.recipe import Recipe
from training.statistics.intervals import with_interval
from training.train import train

EPOCHS = 3


def everything_recipe() -> Recipe:
    """All that a resumed run could get wrong: dropout, averages, batch statistics, sampling."""
    return replace(
        make_recipe(epochs=EPOCHS),
        architecture=Architecture(
            TINY,
            INPUT_SIZE,
            hidden_units=96,
            dropout=0.4,
            dropout_before_hidden=True,
            outputs=2,
        ),
        freezing=Freezing(batch_normalization=BatchNormalization.TRAINING),
        oversampling=True,
        average_decay=0.8,
        plateau_epochs=1,
    )


def run(
    data: Path, weights: Path, out: Path, *, resume: bool = False, kill_at: int | None = None
) -> None:
    architectures.BACKBONES[TINY] = tiny_backbone  # type: ignore[index]
    scored.with_interval = partial(with_interval, samples=20)
    train(
        read_labelled_folder(data),
        everything_recipe(),
        name=ModelName("test-net", "0.0.1"),
        backbone_weights=weights,
        out=out,
        resume=resume,
        report=partial(_kill_at, kill_at),
    )


def _kill_at(last: int | None, step: Progress) -> None:
    if step.stage == "training" and step.done == last:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    last_steps = [int(word) for word in sys.argv[4:] if word.isdigit()]
    run(
        *map(Path, sys.argv[1:4]),
        resume="--resume" in sys.argv,
        kill_at=last_steps[0] if last_steps else None,
    )
