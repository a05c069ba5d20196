"""Which layers of a network learn."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.architectures import (
    COARSE_LAYER,
    FEATURES_LAYER,
    KerasLayer,
    KerasModel,
    KerasTensor,
)
from training.errors import RecipeError

ALL, HEAD = "all", "head"


class BatchNormalization(StrEnum):
    """What batch normalisation does in layers that learn."""

    FROZEN = "frozen"
    """Pretrained statistics, scale and offset stay, also in training steps."""
    TRAINING = "training"
    """Each batch's own statistics in training steps; scale and offset learn."""


@dataclass(frozen=True, slots=True)
class Freezing:
    """A policy, as part of a recipe."""

    train_from: str = ALL
    """"all"; "head": the backbone is frozen; or a layer or block ("block_3"): it and all behind it
    learn."""
    batch_normalization: BatchNormalization = BatchNormalization.FROZEN
    """Layers that started random have no statistics to keep: theirs always learn."""


def freeze(network: KerasModel, freezing: Freezing, random: Collection[str]) -> None:
    """Set `trainable` of every layer; `random` are the names of those that started random.

    Raises:
        RecipeError: the backbone has no layer or block `freezing.train_from`, or layers that
            started random would stay so.
    """
    import keras

    names = [layer.name for layer in network.layers]
    first = _first_that_learns(names, freezing.train_from)
    if stuck := [name for name in names[:first] if name in random]:
        raise RecipeError(
            f"freezing.train_from is {freezing.train_from!r}, but {len(stuck)} layers before it, "
            f"from {stuck[0]} on, started random: give complete weights, take features from before "
            "them (architecture.features_from), or train from them on"
        )
    keep_statistics = freezing.batch_normalization == BatchNormalization.FROZEN
    for position, layer in enumerate(network.layers):
        is_kept = (
            keep_statistics
            and isinstance(layer, keras.layers.BatchNormalization)
            and layer.name not in random
        )
        layer.trainable = position >= first and not is_kept


def with_folded_batch_normalization(model: KerasModel) -> KerasModel:
    """The same function with frozen batch normalisation inside the frozen convolutions before it.

    Layers that learn are the model's own, frozen ones are copies: steps on the result teach the
    model, a sixth faster. Frozen normalisation behind convolutions that learn stays.
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


def batch_normalizations_that_learn(network: KerasModel) -> list[KerasLayer]:
    """Those that use their batch's statistics in training steps."""
    import keras

    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def _first_that_learns(names: list[str], train_from: str) -> int:
    head = names.index(COARSE_LAYER if COARSE_LAYER in names else FEATURES_LAYER)
    if train_from == ALL:
        return 0
    if train_from == HEAD:
        return head
    for position, name in enumerate(names[:head]):
        if name == train_from or name.startswith(f"{train_from}_"):
            return position
    raise RecipeError(
        f"freezing.train_from is {train_from!r}, but the backbone has no such layer or block; "
        f'"{ALL}", "{HEAD}" or a name like {names[head // 2]} is meant'
    )
