"""What an epoch's line says."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from models.architectures import BACKBONES, Architecture, build
from tests.unit.training.labelled_folders import INPUT_SIZE, TINY, make_recipe, tiny_backbone
from training.batches import Batch
from training.freezing import Freezing, freeze
from training.loop import compiled, fit
from training.recipe import Schedule, Watched


class DrawnBatches:
    """Two batches, of four radiographs and of one."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        pictures = random.uniform(-1, 1, (5, INPUT_SIZE, INPUT_SIZE, 3)).astype(np.float32)
        labels = np.array([True, False, False, True, True])
        self.batches = [Batch(pictures[:4], labels[:4]), Batch(pictures[4:], labels[4:])]

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> Iterator[Batch]:
        return iter(self.batches)


def test_an_epochs_loss_and_accuracy_are_means_over_all_its_radiographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, TINY, tiny_backbone)
    keras.utils.set_random_seed(1)
    recipe = replace(
        make_recipe(),
        architecture=Architecture(TINY, INPUT_SIZE, hidden_units=8, dropout=0.0),
        learning_rate=0.0,
        class_weights=False,
        watched=Watched.NOTHING,
        schedule=Schedule.COSINE,
    )
    network = build(recipe.architecture)
    freeze(network, Freezing(), random=())
    drawn = DrawnBatches()
    pictures = np.concatenate([batch.inputs for batch in drawn.batches])
    logits = compiled(network, recipe).predict_on_batch(pictures)["logits"][:, 0]
    labels = np.concatenate([batch.fractured for batch in drawn.batches])

    (epoch,) = fit(network, recipe, drawn, None, tmp_path, lambda _: None)
    expected = np.logaddexp(0.0, np.where(labels, -logits, logits)).mean()
    assert epoch.loss == pytest.approx(expected, rel=1e-5)
    assert epoch.accuracy == pytest.approx(((logits > 0) == labels).mean())
