"""Networks with a fracture map: their shape, and their explanation in closed form."""

import os

import numpy as np
import pytest

from models.architectures import (
    FEATURES_LAYER,
    MAP_LAYER,
    Architecture,
    KerasModel,
    build,
)
from models.errors import BundleError
from models.gradcam import MapHead
from models.head import head_of
from models.keras_weights import get_weights, set_weights
from tests.unit.models.bundles import random_weights

SIZE, CHANNELS = 64, 24


@pytest.fixture(scope="module")
def mapped() -> KerasModel:
    """MobileNetV2 for 64 × 64 pixels with a map of 4 × 4 cells and random weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    network = build(Architecture(input_size=SIZE, hidden_units=16, map_channels=CHANNELS))
    set_weights(network, random_weights(network, seed=3))
    return network


def test_features_are_twice_as_fine_as_the_backbones_last(mapped: KerasModel) -> None:
    assert mapped.get_layer(FEATURES_LAYER).output.shape == (None, 4, 4, CHANNELS)
    assert mapped.get_layer(MAP_LAYER).output.shape == (None, 4, 4, 1)
    assert mapped.outputs[1].shape == (None, 1)


@pytest.mark.parametrize("name", ["resnet50_v2", "resnet50"])
def test_other_backbones_have_finer_features_too(name: str) -> None:
    network = build(Architecture(name, input_size=SIZE, map_channels=CHANNELS))
    assert network.get_layer(FEATURES_LAYER).output.shape == (None, 4, 4, CHANNELS)


@pytest.mark.parametrize("seed", range(4))
def test_the_closed_form_gradient_equals_automatic_differentiation(
    mapped: KerasModel, seed: int
) -> None:
    import keras
    import tensorflow as tf

    inputs = np.random.default_rng(seed).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    features, logits = mapped(inputs, training=False)
    above = keras.Model(mapped.get_layer(FEATURES_LAYER).output, mapped.outputs[1])
    with tf.GradientTape() as tape:
        tape.watch(features)
        score = above(features, training=False)
    expected = tape.gradient(score, features).numpy()[0]

    head = head_of(get_weights(mapped))
    assert isinstance(head, MapHead)
    found = head.gradient(features.numpy()[0])

    assert float(score[0, 0]) == pytest.approx(float(logits[0, 0]), rel=1e-5)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.ptp(found, axis=(0, 1)).max() > 0, "a peak's gradient differs from cell to cell"


def test_the_map_that_is_shown_peaks_where_the_fracture_map_does() -> None:
    features = np.random.default_rng(0).uniform(0, 0.1, (8, 8, 4)).astype(np.float32)
    features[2, 5, 1] = 4.0
    weights = {
        "hidden/kernel": np.full((4, 2), 0.01, np.float32),
        "hidden/bias": np.zeros(2, np.float32),
        "logit/kernel": np.full((2, 1), 0.1, np.float32),
        f"{MAP_LAYER}/kernel": np.array([0.1, 2.0, 0.1, 0.1], np.float32).reshape(1, 1, 4, 1),
        f"{MAP_LAYER}/bias": np.array([-3.0], np.float32),
        "peak_weight/kernel": np.array([[0.5]], np.float32),
    }
    shown = head_of(weights).explain(features)
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 5)


def test_a_network_with_two_logits_has_no_map() -> None:
    with pytest.raises(ValueError, match="1 output"):
        Architecture(outputs=2, map_channels=CHANNELS)


def test_an_input_size_without_finer_features_is_refused_with_one_that_has() -> None:
    with pytest.raises(BundleError, match="multiple of 32"):
        build(Architecture(input_size=72, map_channels=CHANNELS))
