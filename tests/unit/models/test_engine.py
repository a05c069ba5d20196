"""Building networks, filling them, and running them."""

from pathlib import Path

import numpy as np
import pytest

from models.architectures import (
    FEATURES_LAYER,
    HIDDEN_LAYER,
    LOGIT_LAYER,
    Architecture,
    KerasModel,
    build,
)
from models.bundle import ModelBundle, Weights
from models.engine import KerasEngine, dense_head, get_weights, set_weights
from models.errors import BundleError
from tests.unit.models.bundles import random_weights

CELLS = 2
CHANNELS = 1280


@pytest.fixture
def small_network() -> KerasModel:
    """Two dense layers: names and shapes are all that filling looks at."""
    import keras

    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="first"),
            keras.layers.Dropout(0.5, name="dropout"),
            keras.layers.Dense(2, name="second"),
        ],
        name="small",
    )


def test_an_unknown_architecture_is_refused_with_the_known_ones_and_the_way_out() -> None:
    with pytest.raises(BundleError, match=r"'resnet_9000'.*mobilenet_v2.*use a bundle"):
        build(Architecture(name="resnet_9000"))


def test_a_network_gives_features_and_logit_under_their_names(network: KerasModel) -> None:
    features, logit = network.outputs
    assert features.shape == (None, CELLS, CELLS, CHANNELS)
    assert logit.shape == (None, 1)
    assert {FEATURES_LAYER, HIDDEN_LAYER, LOGIT_LAYER} <= {layer.name for layer in network.layers}
    assert network.get_layer(HIDDEN_LAYER).units == 16


def test_batch_normalisation_is_frozen_unless_it_is_asked_for() -> None:
    architecture = Architecture(input_size=32, hidden_units=4)
    frozen = _batch_normalisations(build(architecture))
    free = _batch_normalisations(build(architecture, freeze_batch_normalization=False))
    assert len(frozen) == len(free) > 10
    assert not any(layer.trainable for layer in frozen)
    assert all(layer.trainable for layer in free)


def test_a_backbone_takes_its_weights_from_a_file(tmp_path: Path) -> None:
    import keras

    source = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None
    )
    set_weights(source, random_weights(source, seed=1))
    source.save_weights(tmp_path / "backbone.weights.h5")
    architecture = Architecture(input_size=32, hidden_units=4)
    built = get_weights(build(architecture, backbone_weights=tmp_path / "backbone.weights.h5"))
    for name, array in get_weights(source).items():
        assert np.array_equal(built[name], array), name


def test_weights_read_from_one_network_fill_another(network: KerasModel) -> None:
    weights = random_weights(network, seed=6)
    other = build(Architecture(input_size=64, hidden_units=16))
    set_weights(other, weights)
    for name, array in get_weights(other).items():
        assert np.array_equal(array, weights[name]), name
    assert not any("seed" in name for name in weights)


def test_filling_overwrites_every_variable(small_network: KerasModel) -> None:
    weights = {
        name: np.full(array.shape, 7.0) for name, array in get_weights(small_network).items()
    }
    assert weights.keys() == {"first/kernel", "first/bias", "second/kernel", "second/bias"}
    set_weights(small_network, weights)
    assert all((array == 7.0).all() for array in get_weights(small_network).values())


@pytest.mark.parametrize("change", ["missing", "left over", "renamed"])
def test_weights_of_other_names_are_refused(small_network: KerasModel, change: str) -> None:
    weights = dict(get_weights(small_network))
    if change != "left over":
        del weights["second/bias"]
    if change != "missing":
        weights["third/bias"] = np.zeros(2, np.float32)
    named = "third/bias" if change == "left over" else "second/bias"
    with pytest.raises(BundleError, match=f"not those of small.*{named}"):
        set_weights(small_network, weights)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4, 1), (12,), (3, 5), ()])
def test_a_weight_of_another_shape_is_refused_even_where_it_would_broadcast(
    small_network: KerasModel, shape: tuple[int, ...]
) -> None:
    weights: Weights = {
        **get_weights(small_network),
        "first/kernel": np.zeros(shape, np.float32),
    }
    with pytest.raises(BundleError, match="first/kernel has shape") as refusal:
        set_weights(small_network, weights)
    assert str(shape) in str(refusal.value)
    assert "(3, 4)" in str(refusal.value)


def test_an_engine_runs_the_network_of_its_bundle(network: KerasModel, engine: KerasEngine) -> None:
    batch = np.random.default_rng(2).uniform(-1, 1, (3, 64, 64, 3)).astype(np.float32)
    features, logits = engine.run(batch)
    expected_features, expected_logits = network(batch, training=False)
    assert features.shape == (3, CELLS, CELLS, CHANNELS)
    assert features.dtype == np.float32
    assert logits.shape == (3,)
    assert features == pytest.approx(np.asarray(expected_features), abs=1e-3)
    assert logits == pytest.approx(np.asarray(expected_logits)[:, 0], rel=1e-4)
    assert np.ptp(logits) > 1e-3


def test_an_engine_refuses_a_bundle_with_the_weights_of_another_network(
    network_bundle: ModelBundle,
) -> None:
    from dataclasses import replace

    smaller = replace(network_bundle, architecture=Architecture(input_size=64, hidden_units=8))
    with pytest.raises(BundleError, match="hidden/kernel has shape"):
        KerasEngine(smaller)


def test_the_head_of_a_bundle_is_that_of_its_network(
    network: KerasModel, engine: KerasEngine, network_bundle: ModelBundle
) -> None:
    """Features through the head by hand give the engine's logit."""
    batch = np.random.default_rng(4).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    features, logits = engine.run(batch)
    head = dense_head(network_bundle.weights)
    pooled = features.mean(axis=(1, 2))
    hidden = np.maximum(pooled @ head.hidden_kernel + head.hidden_bias, 0)
    bias = network_bundle.weights[f"{LOGIT_LAYER}/bias"]
    assert (hidden @ head.logit_kernel + bias)[:, 0] == pytest.approx(logits, rel=1e-4)


def _batch_normalisations(network: KerasModel) -> list[KerasModel]:
    import keras

    return [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
