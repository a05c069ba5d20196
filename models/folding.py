"""Batch normalisation that no longer learns, folded into the convolution before it."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from models.architectures import KerasLayer, KerasModel, KerasTensor


def with_folded_batch_normalization(model: KerasModel) -> KerasModel:
    """The same function with frozen batch normalisation inside the frozen convolutions before it.

    Layers that learn are the model's own: steps on the result teach the model. Frozen normalisation
    behind convolutions that learn stays. It spares a pass over every picture's features: a third of
    MobileNetV2's time where all is frozen, a quarter of a step where the first blocks are.
    """
    import keras

    folded = {norm.name: convolution for convolution, norm in _foldable(model)}
    kernels = {convolution.name: norm for convolution, norm in _foldable(model)}

    def copied(layer: KerasLayer) -> KerasLayer:
        if layer.name in folded:
            return keras.layers.Lambda(lambda features: features, name=layer.name)
        if layer.name not in kernels:
            return layer
        config = {**layer.get_config(), "use_bias": True, "trainable": False}
        return layer.__class__.from_config(config)

    result = keras.models.clone_model(model, clone_function=copied)
    for name, norm in kernels.items():
        result.get_layer(name).set_weights(_folded_weights(model.get_layer(name), norm))
    return result


def _foldable(model: KerasModel) -> Iterator[tuple[KerasLayer, KerasLayer]]:
    """Frozen convolutions with the frozen normalisation that alone takes what they give."""
    import keras

    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    made_by = {id(layer.output): layer for layer in model.layers}
    takers = Counter(id(tensor) for layer in model.layers for tensor in _inputs(layer))
    for norm in model.layers:
        if norm.trainable or not isinstance(norm, keras.layers.BatchNormalization):
            continue
        before = made_by[id(norm.input)]
        is_linear = (
            isinstance(before, convolutions) and before.get_config()["activation"] == "linear"
        )
        if is_linear and not before.trainable and takers[id(norm.input)] == 1:
            yield before, norm


def _inputs(layer: KerasLayer) -> Sequence[KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _folded_weights(
    convolution: KerasLayer, norm: KerasLayer
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel and bias with which the convolution gives what the normalisation made of it."""
    kernel, *bias = convolution.get_weights()
    scale = 1.0 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma)
    offset = np.asarray(norm.beta) if norm.center else np.zeros_like(scale)
    # A depthwise kernel has its channels before its multiplier, of 1.
    spread = scale.reshape(-1, 1) if kernel.shape[-1] == 1 else scale
    before = bias[0] if bias else 0.0
    return kernel * spread, offset + (before - np.asarray(norm.moving_mean)) * scale
