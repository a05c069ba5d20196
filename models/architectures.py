"""Networks built from code; weights come from a file, never from a hub.

Every network ends in convolution features A → global average pooling → dense ReLU with dropout
before or behind it → one logit or two, and returns (A, logits): what `gradcam` needs to explain in
closed form. Only Keras' own layers: the same code runs on its TensorFlow, JAX and torch backends.
Keras is imported when a network is built, so that reading a card costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import BundleError
from models.prediction import FloatArray

FEATURES_LAYER = "features"
HIDDEN_LAYER = "hidden"
LOGIT_LAYER = "logit"
FRACTURED = 1
"""Column of the fracture's logit where a network has two."""

KerasModel = Any
"""keras.Model; Any because keras ships no usable types and is imported late."""
KerasLayer = Any
"""keras.layers.Layer, likewise."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build a network again; a bundle's card holds it."""

    name: str = "mobilenet_v2"
    """A key of `BACKBONES`."""
    input_size: int = 224
    """Side of the square input in pixels, at least 32."""
    hidden_units: int = 128
    dropout: float = 0.2
    """Share of units that a training step drops, in [0, 1)."""
    dropout_before_hidden: bool = False
    """Drop pooled features (paper B) instead of hidden units (paper A)."""
    outputs: int = 1
    """1: the logit of a sigmoid (paper A). 2: logits of a softmax over other, fractured (B)."""
    features_from: str = ""
    """Layer whose output is A, to leave out what is behind it; empty: the backbone's last."""

    def __post_init__(self) -> None:
        if self.outputs not in (1, 2):
            raise ValueError(f"a network has 1 or 2 outputs, not {self.outputs}")


def build(architecture: Architecture) -> KerasModel:
    """Network from float32 (n, size, size, 3) to (features (n, h, w, K), logits (n, outputs)).

    Its weights are random: `engine.set_weights` or `pretrained.build_pretrained` fill them.

    Raises:
        BundleError: unknown architecture.
    """
    return add_head(build_backbone(architecture), architecture)


def build_backbone(architecture: Architecture) -> KerasModel:
    """The whole backbone without its top, (n, size, size, 3) → (n, h, w, channels).

    Raises:
        BundleError: unknown architecture.
    """
    if architecture.name not in BACKBONES:
        raise BundleError(
            f"unknown architecture {architecture.name!r}; this version knows "
            f"{', '.join(sorted(BACKBONES))}: use a bundle of one of these, or the version of "
            "fracture-screen that the bundle was made with"
        )
    return BACKBONES[architecture.name](architecture.input_size)


def add_head(backbone: KerasModel, architecture: Architecture) -> KerasModel:
    """The backbone, cut at `features_from`, with the classifier's head.

    Raises:
        BundleError: the backbone has no such layer.
    """
    import keras

    layers = keras.layers
    features = layers.Identity(name=FEATURES_LAYER)(_last_tensor(backbone, architecture))
    signal = layers.GlobalAveragePooling2D(name="pooled")(features)
    for layer in _hidden_layers(architecture):
        signal = layer(signal)
    logits = layers.Dense(architecture.outputs, name=LOGIT_LAYER)(signal)
    return keras.Model(backbone.input, [features, logits], name=architecture.name)


def log_odds(logits: npt.ArrayLike) -> FloatArray:
    """log(p / (1 − p)) of fracture, (n), from one logit (n, 1) or two (n, 2).

    σ(z) and softmax(z₀, z₁) are the same function of it: z, or z₁ − z₀. It is what is calibrated
    and what is explained, so both heads mean the same by "logit".
    """
    columns = np.asarray(logits)
    if columns.shape[1] == 1:
        return columns[:, 0]
    difference: FloatArray = columns[:, FRACTURED] - columns[:, 1 - FRACTURED]
    return difference


def _last_tensor(backbone: KerasModel, architecture: Architecture) -> Any:  # Any: KerasTensor
    wanted = architecture.features_from
    if not wanted:
        return backbone.output
    known = [layer.name for layer in backbone.layers]
    if wanted not in known:
        raise BundleError(
            f"{architecture.name} has no layer {wanted!r} to take features from; its last ones are "
            f"{', '.join(known[-5:])}"
        )
    return backbone.get_layer(wanted).output


def _hidden_layers(architecture: Architecture) -> list[KerasLayer]:
    import keras

    hidden = keras.layers.Dense(architecture.hidden_units, activation="relu", name=HIDDEN_LAYER)
    dropout = keras.layers.Dropout(architecture.dropout, name="dropout")
    return [dropout, hidden] if architecture.dropout_before_hidden else [hidden, dropout]


def _from_applications(builder: str, size: int) -> KerasModel:
    """Keras' own code for a published network: no weights, no top, no input scaling inside."""
    import keras

    build_network: Callable[..., KerasModel] = getattr(keras.applications, builder)
    return build_network(input_shape=(size, size, 3), include_top=False, weights=None)


def _resnet_v2(builder: str, size: int) -> KerasModel:
    """With the first pooling padded as in the network that the public weights come from (SAME).

    Keras pads by zeros on both sides, which shifts pooling by a pixel: pooled features then differ
    by up to 5 % in cosine.
    """
    import keras

    replaced = {
        "pool1_pad": partial(keras.layers.ZeroPadding2D, 0),
        "pool1_pool": partial(keras.layers.MaxPooling2D, 3, strides=2, padding="same"),
    }

    def copied(layer: KerasLayer) -> KerasLayer:
        if layer.name in replaced:
            return replaced[layer.name](name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(_from_applications(builder, size), clone_function=copied)


BACKBONES: Mapping[str, Callable[[int], KerasModel]] = {
    "mobilenet_v2": partial(_from_applications, "MobileNetV2"),
    "resnet50": partial(_from_applications, "ResNet50"),
    "resnet101": partial(_from_applications, "ResNet101"),
    "resnet50_v2": partial(_resnet_v2, "ResNet50V2"),
    "resnet101_v2": partial(_resnet_v2, "ResNet101V2"),
}
"""Name in the card → builder of the backbone without its top for a square input."""
