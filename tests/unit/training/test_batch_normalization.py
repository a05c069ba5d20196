"""Statistics that were folded away, measured again."""

import numpy as np
import pytest

from models.architectures import Architecture, KerasModel, build
from models.keras_weights import get_weights, set_weights
from models.prediction import FloatArray
from models.pretrained import folded_batch_normalizations
from tests.unit.models.bundles import random_weights
from training.batch_normalization import restore_statistics


@pytest.fixture
def network() -> KerasModel:
    """MobileNetV2 whose batch normalisation is folded as in the public weights."""
    network = build(Architecture(input_size=32, hidden_units=4))
    weights = dict(random_weights(network, seed=3))
    epsilon = network.get_layer("bn_Conv1").epsilon
    folded = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0 - epsilon}
    for name, array in weights.items():
        if name.rpartition("/")[2] in folded:
            weights[name] = np.full_like(array, folded[name.rpartition("/")[2]])
    set_weights(network, weights)
    return network


@pytest.fixture
def batches() -> list[FloatArray]:
    """Of different sizes, so that they count by their pictures."""
    random = np.random.default_rng(4)
    return [random.uniform(-1, 1, (n, 32, 32, 3)).astype(np.float32) * n for n in (5, 1, 3)]


def test_a_restored_network_answers_as_before(
    network: KerasModel, batches: list[FloatArray]
) -> None:
    inputs = np.concatenate(batches)
    before = np.asarray(network(inputs, training=False)[1])
    folded = folded_batch_normalizations(network)
    assert len(folded) == 52
    restore_statistics(network, folded, batches)
    after = np.asarray(network(inputs, training=False)[1])
    assert np.ptp(before) > 0.01
    assert np.abs(after - before).max() < 1e-3 * np.abs(before).max()
    assert not folded_batch_normalizations(network)


def test_the_statistics_are_those_of_all_pictures_together(
    network: KerasModel, batches: list[FloatArray]
) -> None:
    import keras

    layer = network.get_layer("block_1_expand_BN")
    probe = keras.Model(network.input, layer.input)
    arriving = np.asarray(probe(np.concatenate(batches)), np.float64)
    restore_statistics(network, folded_batch_normalizations(network), batches)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    assert mean == pytest.approx(arriving.mean(axis=(0, 1, 2)), rel=1e-3, abs=1e-3)
    assert variance == pytest.approx(arriving.var(axis=(0, 1, 2)), rel=1e-3)


def test_training_mode_computes_what_inference_does_only_after_restoring(
    network: KerasModel, batches: list[FloatArray]
) -> None:
    """One batch that is the whole split: its own statistics are the restored ones."""
    inputs = np.concatenate(batches)
    weights = get_weights(network)
    served = np.asarray(network(inputs, training=False)[0])
    collapsed = np.asarray(network(inputs, training=True)[0])
    set_weights(network, weights)  # a pass in training mode moves the statistics
    restore_statistics(network, folded_batch_normalizations(network), [inputs])
    trained = np.asarray(network(inputs, training=True)[0])
    scale = np.abs(served).max()
    assert np.abs(collapsed - served).max() > 0.1 * scale
    assert np.abs(trained - served).max() < 0.01 * scale


def test_fresh_layers_are_not_taken_for_folded_ones() -> None:
    network = build(Architecture(input_size=32, hidden_units=4))
    assert folded_batch_normalizations(network) == []
    before = get_weights(network)
    restore_statistics(network, [], iter(()))
    assert all(np.array_equal(before[name], array) for name, array in get_weights(network).items())
