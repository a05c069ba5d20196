"""Runs a bundle's network: network input in, (features, logits) out. Imports keras when made."""

from typing import Protocol

import numpy as np

from models.architectures import (
    HIDDEN_LAYER,
    LOGIT_LAYER,
    MAP_LAYER,
    PEAK_LAYER,
    KerasModel,
    build,
    log_odds,
)
from models.bundle import ModelBundle, Weights
from models.errors import BundleError
from models.folding import with_folded_batch_normalization
from models.gradcam import DenseHead, Head, MapHead
from models.prediction import FloatArray


class Engine(Protocol):
    """What `Classifier` needs; a faster runtime only has to return the same two arrays."""

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n, rows, columns, 3) → features (n, h, w, K) and log-odds of fracture (n)."""


class KerasEngine:
    """The network in Keras on TensorFlow, traced once into a graph (`tf.function`)."""

    def __init__(self, bundle: ModelBundle) -> None:
        import tensorflow as tf

        network = build(bundle.architecture)
        set_weights(network, bundle.weights)
        network.trainable = False
        folded = with_folded_batch_normalization(network)
        self._graph = tf.function(
            lambda batch: folded(batch, training=False),
            input_signature=[tf.TensorSpec((None, *bundle.architecture.shape, 3), tf.float32)],
        )

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Engine.run`."""
        features, logits = self._graph(batch)
        return features.numpy(), log_odds(logits.numpy())


def get_weights(network: KerasModel) -> Weights:
    """All variables of a Keras model by `layer/variable`."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in network.layers
        for variable in layer.variables
        if variable.name not in _NOT_WEIGHTS
    }


def set_weights(network: KerasModel, weights: Weights) -> None:
    """Fill every variable of a Keras model.

    Raises:
        BundleError: a variable is missing, left over or of another shape.
    """
    variables = {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.variables
        if variable.name not in _NOT_WEIGHTS
    }
    if unmatched := variables.keys() ^ weights.keys():
        raise BundleError(
            f"the bundle's weights are not those of {network.name}: {len(unmatched)} names differ, "
            f"for example {sorted(unmatched)[0]}"
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise BundleError(
                f"weight {name} has shape {weights[name].shape}, the network expects "
                f"{tuple(variable.shape)}"
            )
        variable.assign(weights[name])


def head_of(weights: Weights) -> Head:
    """What stands between features and score, for the closed-form explanation."""
    dense = dense_head(weights)
    if f"{MAP_LAYER}/kernel" not in weights:
        return dense
    return MapHead(
        dense,
        weights[f"{MAP_LAYER}/kernel"][0, 0, :, 0].astype(np.float32),
        float(weights[f"{MAP_LAYER}/bias"][0]),
        float(weights[f"{PEAK_LAYER}/kernel"][0, 0]),
    )


def dense_head(weights: Weights) -> DenseHead:
    """The head's weights, for the closed-form explanation.

    Where the head has two logits, the score that is explained is their difference, the log-odds of
    fracture: it is linear in the hidden units as one logit is, with the difference of the kernels.
    """
    return DenseHead(
        weights[f"{HIDDEN_LAYER}/kernel"].astype(np.float32),
        weights[f"{HIDDEN_LAYER}/bias"].astype(np.float32),
        log_odds(weights[f"{LOGIT_LAYER}/kernel"].astype(np.float32))[:, np.newaxis],
    )


_NOT_WEIGHTS = frozenset({"seed_generator_state"})
