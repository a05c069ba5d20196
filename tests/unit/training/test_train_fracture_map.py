"""`train` with a fracture map and a schedule: small networks and pictures of the test's own."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.architectures import BACKBONES, Architecture
from models.bundle import load_bundle
from models.classifier import Classifier
from models.engines.onnx_engine import OnnxRuntimeEngine
from tests.unit.training.labelled_folders import (
    INPUT_SIZE,
    TINY,
    draw_boxes,
    draw_fracatlas,
    make_recipe,
    tiny_backbone,
)
from training import scored
from training.augmentation import Augmentation
from training.card import ModelName
from training.data.example import LabelledFolder
from training.data.layouts import read_labelled_folder
from training.data.pixels import read_pixels
from training.errors import DataError, RunError
from training.history import Epoch, is_over, learning_rate
from training.progress import Progress
from training.recipe import Recipe, Schedule
from training.run_folder import load_weights
from training.statistics.intervals import with_interval
from training.train import train


class Stopped(Exception):
    """In place of a kill."""


def recipe(epochs: int = 2) -> Recipe:
    return replace(
        make_recipe(epochs=epochs),
        architecture=Architecture(TINY, INPUT_SIZE, hidden_units=16, dropout=0.2, map_channels=8),
        augmentation=Augmentation(rotation_degrees=5.0, gamma=0.3, contrast=0.1),
        schedule=Schedule.COSINE,
        map_weight=1.0,
        label_smoothing=0.06,
        weight_decay=1e-3,
        learning_rate=0.005,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolder:
    folder = draw_fracatlas(tmp_path_factory.mktemp("data") / "fracatlas")
    return read_labelled_folder(draw_boxes(folder))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, TINY, tiny_backbone)
    monkeypatch.setattr(scored, "with_interval", partial(with_interval, samples=20))


def run(data: LabelledFolder, out: Path, chosen: Recipe, **options: object) -> Path:
    name = ModelName("test-net", "0.0.1")
    return train(data, chosen, name=name, out=out, **options)  # type: ignore[arg-type]


def test_a_network_with_a_map_is_trained_kept_and_served(
    data: LabelledFolder, tmp_path: Path
) -> None:
    bundle = load_bundle(run(data, tmp_path / "run", recipe()))
    assert bundle.architecture.map_channels == 8
    assert "fracture map" in bundle.card["training"]["protocol"]
    classifier = Classifier(bundle, OnnxRuntimeEngine(bundle))
    found = classifier.classify([read_pixels(data.examples[1].path)])[0]
    assert 0 <= found.prediction.probability <= 1
    assert found.saliency.values.max() == pytest.approx(1.0)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    data: LabelledFolder, tmp_path: Path
) -> None:
    run(data, tmp_path / "whole", recipe())

    def stop(step: Progress) -> None:
        if step.stage == "training" and step.done == step.total - 1:
            raise Stopped

    with pytest.raises(Stopped):
        run(data, tmp_path / "stopped", recipe(), report=stop)
    run(data, tmp_path / "stopped", recipe(), resume=True)
    whole, stopped = (load_weights(tmp_path / one / "best.npz") for one in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(np.array_equal(whole[name], stopped[name]) for name in whole)


def test_more_epochs_would_be_another_schedule(data: LabelledFolder, tmp_path: Path) -> None:
    run(data, tmp_path / "run", recipe(epochs=1))
    with pytest.raises(RunError, match="another epochs"):
        run(data, tmp_path / "run", recipe(epochs=2), resume=True)


def test_a_map_is_not_learned_without_boxes(data: LabelledFolder, tmp_path: Path) -> None:
    without = replace(data, examples=tuple(replace(one, boxes=()) for one in data.examples))
    with pytest.raises(DataError, match="no radiograph has a fracture box"):
        run(without, tmp_path / "run", recipe())


def test_a_map_and_its_weight_come_together() -> None:
    with pytest.raises(ValueError, match="give both or neither"):
        replace(recipe(), map_weight=0.0)


def test_a_cosine_warms_up_falls_and_ends_with_its_epochs() -> None:
    chosen = replace(recipe(epochs=4), learning_rate=1.0)
    history: list[Epoch] = []
    rates = []
    while not is_over(history, chosen):
        rates.append(learning_rate(history, chosen))
        # a figure that never gets better would end a plateau's run by patience
        history.append(Epoch(len(history) + 1, 1, 0.5, 1, 0.5, 0.5, rates[-1], 1.0))
    assert rates == pytest.approx([0.1, 0.8536, 0.5, 0.1464], abs=1e-4)
