"""Building networks, filling them, and running them."""

from dataclasses import replace

import numpy as np
import pytest

from models.architectures import (
    FEATURES_LAYER,
    HIDDEN_LAYER,
    LOGIT_LAYER,
    Architecture,
    KerasModel,
    build,
    log_odds,
)
from models.bundle import ModelBundle, Weights
from models.engines.tensorflow_engine import TensorFlowEngine
from models.errors import BundleError
from models.head import dense_head
from models.keras_weights import get_weights, set_weights
from tests.unit.models.bundles import make_bundle, random_weights

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


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet50_v2", "resnet101_v2"])
def test_every_network_of_the_table_is_built_at_the_size_that_is_asked_for(name: str) -> None:
    features, logit = build(Architecture(name, 96, hidden_units=4)).outputs
    assert features.shape == (None, 3, 3, 2048)
    assert logit.shape == (None, 1)


def test_a_version_two_resnet_pools_as_the_network_that_its_weights_come_from() -> None:
    """SAME padding: at an even size nothing is added at the top left."""
    network = build(Architecture("resnet50_v2", 64, hidden_units=4))
    assert network.get_layer("pool1_pad").output.shape == (None, 32, 32, 64)
    pooling = network.get_layer("pool1_pool")
    assert pooling.output.shape == (None, 16, 16, 64)
    picture = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert np.asarray(pooling(picture))[0, :, :, 0].tolist() == [[10.0, 11.0], [14.0, 15.0]]


def test_features_may_be_taken_from_a_layer_within() -> None:
    network = build(Architecture(input_size=64, features_from="block_13_expand_relu"))
    assert network.outputs[0].shape == (None, 4, 4, 576)
    assert "block_14_expand" not in {layer.name for layer in network.layers}


def test_dropout_stands_before_or_behind_the_hidden_layer() -> None:
    order = {}
    for before in (False, True):
        layers = build(Architecture(input_size=32, dropout_before_hidden=before)).layers
        order[before] = [layer.name for layer in layers][-4:]
    assert order[False] == ["pooled", "hidden", "dropout", "logit"]
    assert order[True] == ["pooled", "dropout", "hidden", "logit"]


def test_log_odds_of_one_logit_and_of_two_give_the_probability_of_their_head() -> None:
    logits = np.random.default_rng(7).normal(0, 3, (50, 2))
    softmax = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    assert 1 / (1 + np.exp(-log_odds(logits))) == pytest.approx(softmax)
    assert np.array_equal(log_odds(logits[:, :1]), logits[:, 0])


def test_an_engine_gives_the_log_odds_of_a_network_with_two_logits() -> None:
    architecture = Architecture("resnet50_v2", 32, hidden_units=8, outputs=2)
    network = build(architecture)
    set_weights(network, random_weights(network, seed=9))
    bundle = replace(make_bundle(weights=get_weights(network)), architecture=architecture)
    batch = np.random.default_rng(2).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    features, found = TensorFlowEngine(bundle).run(batch)
    logits = np.asarray(network(batch, training=False)[1])
    assert found == pytest.approx(logits[:, 1] - logits[:, 0], rel=1e-3)
    head = dense_head(bundle.weights)
    hidden = np.maximum(features.mean(axis=(1, 2)) @ head.hidden_kernel + head.hidden_bias, 0)
    bias = log_odds(bundle.weights[f"{LOGIT_LAYER}/bias"][np.newaxis])
    assert (hidden @ head.logit_kernel)[:, 0] + bias == pytest.approx(found, rel=1e-3)


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


def test_an_engine_runs_the_network_of_its_bundle(
    network: KerasModel, engine: TensorFlowEngine
) -> None:
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
    smaller = replace(network_bundle, architecture=Architecture(input_size=64, hidden_units=8))
    with pytest.raises(BundleError, match="hidden/kernel has shape"):
        TensorFlowEngine(smaller)


def test_the_head_of_a_bundle_is_that_of_its_network(
    network: KerasModel, engine: TensorFlowEngine, network_bundle: ModelBundle
) -> None:
    """Features through the head by hand give the engine's logit."""
    batch = np.random.default_rng(4).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    features, logits = engine.run(batch)
    head = dense_head(network_bundle.weights)
    pooled = features.mean(axis=(1, 2))
    hidden = np.maximum(pooled @ head.hidden_kernel + head.hidden_bias, 0)
    bias = network_bundle.weights[f"{LOGIT_LAYER}/bias"]
    assert (hidden @ head.logit_kernel + bias)[:, 0] == pytest.approx(logits, rel=1e-4)
