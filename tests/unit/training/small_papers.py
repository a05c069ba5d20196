"""Both papers' experiments with a network, data and intervals that take seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from models.architectures import BACKBONES, Architecture
from models.preprocessing import Preprocessing
from tests.unit.training.labelled_folders import INPUT_SIZE, TINY, tiny_backbone
from training.experiments import search
from training.presets import PRESETS
from training.recipe import Recipe


@contextmanager
def small_papers() -> Iterator[None]:
    """Presets of the papers keep their protocols; network, epochs and width are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, TINY, tiny_backbone)  # type: ignore[arg-type]
        for name in ("paper_a_mobilenetv2", "paper_a_resnet50v2"):
            patch.setitem(PRESETS, name, _small(PRESETS[name], epochs=1))  # type: ignore[arg-type]
        for name in ("paper_b_raw", "paper_b_balanced"):
            patch.setitem(PRESETS, name, _small(PRESETS[name], epochs=2))  # type: ignore[arg-type]
        patch.setattr(search, "INITIAL_POINTS", 2)
        yield


def backbone_weights(folder: Path) -> Path:
    import keras

    keras.utils.set_random_seed(3)
    path = folder / "backbone.weights.h5"
    tiny_backbone((INPUT_SIZE, INPUT_SIZE)).save_weights(path)
    return path


def _small(recipe: Recipe, epochs: int) -> Recipe:
    head = recipe.architecture
    return replace(
        recipe,
        architecture=Architecture(
            TINY,
            INPUT_SIZE,
            hidden_units=24,
            dropout=head.dropout,
            dropout_before_hidden=head.dropout_before_hidden,
            outputs=head.outputs,
        ),
        preprocessing=Preprocessing(INPUT_SIZE, normalization=recipe.preprocessing.normalization),
        epochs=epochs,
        learning_rate=0.01,
    )
