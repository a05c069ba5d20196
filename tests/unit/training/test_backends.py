"""Training on every Keras backend that is installed."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from models.architectures import BACKBONES
from models.bundle import load_bundle
from models.engines.tensorflow_engine import TensorFlowEngine
from models.preprocessing import letterbox, to_network_input
from tests.paths import REPOSITORY
from tests.unit.training.labelled_folders import INPUT_SIZE, TINY, draw_fracatlas, tiny_backbone
from training.data.pixels import read_pixels

BACKENDS = ["tensorflow", "jax", *(["torch"] if find_spec("torch") else [])]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bundle_serves_what_the_log_of_its_training_says_on_every_backend(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_fracatlas(tmp_path / "data")
    weights = tmp_path / "tiny.weights.h5"
    tiny_backbone((INPUT_SIZE, INPUT_SIZE)).save_weights(weights)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tests.unit.training.tiny_run"]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run(
        [*command, str(data), str(weights), str(out)], cwd=REPOSITORY, env=environment, check=True
    )

    monkeypatch.setitem(BACKBONES, TINY, tiny_backbone)
    bundle = load_bundle(out / "bundle")
    split = json.loads((out / "split.json").read_text())
    validation = [one["path"] for one in split["examples"] if one["part"] == "validation"]
    squares = [letterbox(read_pixels(data / path), bundle.preprocessing)[0] for path in validation]
    inputs = to_network_input(np.stack(squares), bundle.preprocessing.normalization)
    _, scores = TensorFlowEngine(bundle).run(inputs)
    fractured = np.array([int(Path(path).stem[3:]) % 2 == 1 for path in validation])
    loss = np.logaddexp(0.0, np.where(fractured, -scores, scores)).mean()
    lines = [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]
    assert loss == pytest.approx(max(lines, key=lambda line: line["val_auc"])["val_loss"], rel=0.01)
