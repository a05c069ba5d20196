"""One small network for all tests of this folder: building and tracing it takes seconds."""

import os

import pytest

from models.architectures import Architecture, KerasModel, build
from models.bundle import ModelBundle
from models.engines.tensorflow_engine import TensorFlowEngine
from models.keras_weights import set_weights
from tests.unit.models.bundles import make_bundle, random_weights

INPUT_SIZE = 64


@pytest.fixture(scope="session")
def network() -> KerasModel:
    """MobileNetV2 for 64 × 64 pixels (2 × 2 feature cells) with random weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    network = build(Architecture(input_size=INPUT_SIZE, hidden_units=16))
    set_weights(network, random_weights(network, seed=5))
    return network


@pytest.fixture(scope="session")
def network_bundle(network: KerasModel) -> ModelBundle:
    return make_bundle(network)


@pytest.fixture(scope="session")
def engine(network_bundle: ModelBundle) -> TensorFlowEngine:
    return TensorFlowEngine(network_bundle)
