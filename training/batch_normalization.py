"""Statistics for batch normalisation whose own were folded into its affine part.

The public weights that `models.pretrained` reads have mean 0 and variance 1 there: exact when a
network serves, but a training step would normalise by the batch's statistics and change what every
layer gets. So mean and variance are measured on the training split, and scale and offset are set so
that the layer computes what it computed before.
"""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import numpy.typing as npt

from models.architectures import KerasLayer, KerasModel
from models.prediction import FloatArray

Channels = npt.NDArray[np.float64]


def restore_statistics(
    network: KerasModel, layers: Sequence[KerasLayer], inputs: Iterable[FloatArray]
) -> None:
    """Give `layers` the statistics of what arrives at them; what they compute stays the same.

    With s and b the present scale and offset of y = s·x + b: gamma = s·√(variance + epsilon) and
    beta = b + s·mean. One pass suffices, since no layer's output changes.

    Args:
        inputs: network input of the training split, batch by batch; never of other parts.
    """
    if not layers:
        return
    moments = _moments_at(network, layers, inputs)
    for layer, (mean, variance) in zip(layers, moments, strict=True):
        gamma, beta, old_mean, old_variance = (
            np.asarray(variable).astype(np.float64)
            for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        )
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        offset = beta - scale * old_mean
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        layer.gamma.assign(scale * np.sqrt(variance + layer.epsilon))
        layer.beta.assign(offset + scale * mean)


def _moments_at(
    network: KerasModel, layers: Sequence[KerasLayer], inputs: Iterable[FloatArray]
) -> list[tuple[Channels, Channels]]:
    """Mean and variance per channel over all pictures and positions, for each layer's input."""
    tensors = [keras.ops.moments(layer.input, axes=(0, 1, 2)) for layer in layers]
    probe = keras.Model(network.input, tensors)
    totals = [_Moments() for _ in layers]
    for batch in inputs:
        for total, (mean, variance) in zip(totals, probe(batch, training=False), strict=True):
            total.add(len(batch), _float64(mean), _float64(variance))
    return [(total.mean, total.variance) for total in totals]


class _Moments:
    """Mean and variance of a stream of batches, joined as in Chan et al. 1979, equation 2.1."""

    def __init__(self) -> None:
        self.mean: Channels = np.zeros(1)
        self.variance: Channels = np.zeros(1)
        self._count = 0

    def add(self, count: int, mean: Channels, variance: Channels) -> None:
        total = self._count + count
        share = count / total
        difference = mean - self.mean
        self.variance = (
            (1 - share) * self.variance
            + share * variance
            + share * (1 - share) * difference * difference
        )
        self.mean = self.mean + share * difference
        self._count = total


def _float64(tensor: object) -> Channels:
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)
