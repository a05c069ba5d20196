"""Weights in and out of a Keras model, by the names that a bundle stores them under."""

import numpy as np

from models.architectures import KerasModel
from models.bundle import Weights
from models.errors import BundleError


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


_NOT_WEIGHTS = frozenset({"seed_generator_state"})
