"""Frozen batch normalisation folded into frozen convolutions: the same function, taught alike."""

import keras
import numpy as np
import pytest

from models.architectures import Architecture, build
from models.folding import with_folded_batch_normalization
from training.freezing import Freezing, freeze


def _network(train_from: str) -> keras.Model:
    """With statistics, scales and offsets that are not 0 and 1."""
    keras.utils.set_random_seed(3)
    network = build(Architecture("mobilenet_v2", input_size=32, hidden_units=4))
    random = np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    freeze(network, Freezing(train_from), ())
    return network


def _pictures() -> np.ndarray:
    return np.random.default_rng(4).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("train_from", ["all", "block_6", "head"])
def test_the_folded_network_gives_the_same_logits(train_from: str) -> None:
    network = _network(train_from)
    plain = network.predict_on_batch(_pictures())[1]
    folded = with_folded_batch_normalization(network).predict_on_batch(_pictures())[1]
    assert np.allclose(plain, folded, rtol=1e-4, atol=1e-5)


def test_only_frozen_convolutions_are_folded() -> None:
    folded = with_folded_batch_normalization(_network("block_6"))
    kept = [
        layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert "block_5_project_BN" not in kept
    assert "block_6_expand_BN" in kept


def test_a_step_teaches_the_network_that_was_folded() -> None:
    network = _network("block_6")
    folded = with_folded_batch_normalization(network)
    model = keras.Model(folded.input, folded.outputs[1])
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    model.train_on_batch(_pictures(), np.array([[0.0], [1.0]], np.float32))
    plain = network.predict_on_batch(_pictures())[1]
    after = folded.predict_on_batch(_pictures())[1]
    assert np.allclose(plain, after, rtol=1e-4, atol=1e-5)
    assert not np.allclose(plain, _network("block_6").predict_on_batch(_pictures())[1])
