"""Bundles made by the tests: a card, weights of a network or a few arrays, and a fake engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.architectures import HIDDEN_LAYER, LOGIT_LAYER, Architecture, KerasModel
from models.bundle import ModelBundle, Weights
from models.calibration import Calibration
from models.classifier import BATCH_SIZE
from models.keras_weights import get_weights
from models.prediction import FloatArray, ModelIdentity, OperatingPoints
from models.preprocessing import Preprocessing
from models.scope import TEXTURE_MEASURES, Scope, Spread


def make_card(**changes: Any) -> dict[str, Any]:  # Any: JSON
    """A complete card; `changes` replace top-level keys."""
    card = {
        "name": "test-net",
        "version": "1.2.3",
        "architecture": {
            "name": "mobilenet_v2", "input_size": 64, "hidden_units": 16, "dropout": 0.2,
        },
        "preprocessing": {"input_size": 64, "low_percentile": 1.0, "high_percentile": 99.0},
        "calibration": {"scale": 0.8, "offset": -0.3},
        "operating_points": {"sensitive": 0.1, "specific": 0.6},
        "scope": {"body_parts": ["HAND", "WRIST"], "modalities": ["CR", "DX"]},
        "limits": ["A negative does not exclude a fracture.", "7 × 7 cells"],
        "metrics": {},
    }  # fmt: skip
    return card | changes


def make_weights(seed: int = 1) -> Weights:
    """A large kernel, which is stored as float16, and small arrays, which are not."""
    random = np.random.default_rng(seed)
    return {
        "conv/kernel": random.normal(size=(3, 3, 24, 32)).astype(np.float32),
        "conv/bias": random.normal(size=32).astype(np.float32),
        f"{HIDDEN_LAYER}/kernel": random.normal(size=(32, 4)).astype(np.float32),
    }


def make_scope(channels: int, threshold: float = 1.0, seed: int = 1) -> Scope:
    """Some valid scope of a network with so many features."""
    return Scope(
        make_spread(channels, threshold, seed), make_spread(TEXTURE_MEASURES, threshold, seed)
    )


def make_spread(numbers: int, threshold: float = 1.0, seed: int = 1) -> Spread:
    """Some valid spread."""
    random = np.random.default_rng(seed)
    axes = min(3, numbers)
    return Spread(
        mean=random.normal(size=numbers).astype(np.float32),
        deviation=random.uniform(0.5, 2, numbers).astype(np.float32),
        axes=np.linalg.qr(random.normal(size=(numbers, axes)))[0].astype(np.float32),
        variances=random.uniform(0.5, 2, axes).astype(np.float32),
        rest_variance=0.5,
        threshold=threshold,
    )


def random_weights(network: KerasModel, seed: int) -> Weights:
    """Kernels that keep the signal's size through the layers (He et al. 2015), random offsets."""
    random = np.random.default_rng(seed)
    return {name: _random_like(name, old, random) for name, old in get_weights(network).items()}


def make_bundle(network: KerasModel | None = None, weights: Weights | None = None) -> ModelBundle:
    """A bundle in memory: of a network, or with the given weights for a fake engine."""
    size = network.input_shape[1] if network is not None else 64
    hidden = network.get_layer(HIDDEN_LAYER).units if network is not None else 16
    return ModelBundle(
        identity=ModelIdentity("test-net", "1.2.3", "00" * 32),
        architecture=Architecture(input_size=size, hidden_units=hidden),
        preprocessing=Preprocessing(input_size=size),
        calibration=Calibration(scale=0.8, offset=-0.3),
        operating_points=OperatingPoints(0.3, 0.7),
        region_operating_points={},
        body_parts=frozenset({"HAND"}),
        limits=(),
        reference={},
        card={},
        weights=weights if weights is not None else get_weights(network),
    )


def identity_head(channels: int) -> Weights:
    """A head whose logit is the mean of all features."""
    return {
        f"{HIDDEN_LAYER}/kernel": np.eye(channels, dtype=np.float32),
        f"{HIDDEN_LAYER}/bias": np.zeros(channels, np.float32),
        f"{LOGIT_LAYER}/kernel": np.full((channels, 1), 1.0 / channels, np.float32),
    }


@dataclass
class FakeEngine:
    """Features by a function of the network input, logits given or 0; remembers batch sizes."""

    features: Callable[[FloatArray], FloatArray]
    logits: Callable[[FloatArray], FloatArray] = lambda batch: np.zeros(len(batch), np.float32)
    batch_sizes: list[int] = field(default_factory=list)
    label: str = "fake engine"
    batch_size: int = BATCH_SIZE

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        self.batch_sizes.append(len(batch))
        return self.features(batch), self.logits(batch)


def _random_like(name: str, old: FloatArray, random: np.random.Generator) -> FloatArray:
    if name.endswith("kernel"):
        depthwise = "depthwise" in name
        fan_in = np.prod(old.shape[:2]) if depthwise else np.prod(old.shape[:-1])
        return random.normal(0.0, np.sqrt(2.0 / fan_in), old.shape).astype(np.float32)
    if name.endswith("moving_variance"):
        return np.ones(old.shape, np.float32)
    if name.endswith("gamma"):
        return random.uniform(0.8, 1.4, old.shape).astype(np.float32)
    return random.normal(0.0, 0.1, old.shape).astype(np.float32)
