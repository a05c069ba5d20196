"""Networks built from code; weights come from a file, never from a hub.

Every network ends in convolution features A → global average pooling → dense ReLU with dropout
before or behind it → one logit or two, and returns (A, logits): what `gradcam` needs to explain in
closed form. With `map_channels`, A is twice as fine, a 1 × 1 convolution makes a fracture map of it
(a logit per cell, learned from boxes), and the map's peak adds to the logit. Only Keras' own
layers: the same code runs on its TensorFlow, JAX and torch backends. Keras is imported when a
network is built, so that reading a card costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import BundleError
from models.prediction import FloatArray
from models.preprocessing import Shape

FEATURES_LAYER = "features"
POOLED_LAYER = "pooled"
HIDDEN_LAYER = "hidden"
LOGIT_LAYER = "logit"
COARSE_LAYER = "lateral_coarse"
"""Where a network has a fracture map: the first layer that is not the backbone's."""
MAP_LAYER = "fracture_map"
PEAK_LAYER = "peak_weight"
FRACTURED = 1
"""Column of the fracture's logit where a network has two."""

KerasModel = Any
"""keras.Model; Any because keras ships no usable types and is imported late."""
KerasLayer = Any
"""keras.layers.Layer, likewise."""
KerasTensor = Any
"""keras.KerasTensor, likewise."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build a network again; a bundle's card holds it."""

    name: str = "mobilenet_v2"
    """A key of `BACKBONES`."""
    input_size: int = 224
    """Rows of the input in pixels, at least 32."""
    hidden_units: int = 128
    dropout: float = 0.2
    """Share of units that a training step drops, in [0, 1)."""
    dropout_before_hidden: bool = False
    """Drop pooled features (paper B) instead of hidden units (paper A)."""
    outputs: int = 1
    """1: the logit of a sigmoid (paper A). 2: logits of a softmax over other, fractured (B)."""
    features_from: str = ""
    """Layer whose output is A, to leave out what is behind it; empty: the backbone's last."""
    map_channels: int = 0
    """Channels of A below a fracture map; 0: no map, A is the backbone's."""
    input_columns: int = 0
    """Of the input; 0: as many as rows."""

    def __post_init__(self) -> None:
        if self.outputs not in (1, 2):
            raise ValueError(f"a network has 1 or 2 outputs, not {self.outputs}")
        if self.map_channels and self.outputs != 1:
            raise ValueError("a network with a fracture map has 1 output")

    @property
    def shape(self) -> Shape:
        """Rows and columns of the input."""
        return self.input_size, self.input_columns or self.input_size


def build(architecture: Architecture) -> KerasModel:
    """Network from float32 (n, rows, columns, 3) to (features (n, h, w, K), logits (n, outputs)).

    Its weights are random: `engine.set_weights` or `pretrained.build_pretrained` fill them.

    Raises:
        BundleError: unknown architecture.
    """
    return add_head(build_backbone(architecture), architecture)


def build_backbone(architecture: Architecture) -> KerasModel:
    """The whole backbone without its top, (n, rows, columns, 3) → (n, h, w, channels).

    Raises:
        BundleError: unknown architecture.
    """
    if architecture.name not in BACKBONES:
        raise BundleError(
            f"unknown architecture {architecture.name!r}; this version knows "
            f"{', '.join(sorted(BACKBONES))}: use a bundle of one of these, or the version of "
            "fracture-screen that the bundle was made with"
        )
    return BACKBONES[architecture.name](architecture.shape)


def add_head(backbone: KerasModel, architecture: Architecture) -> KerasModel:
    """The backbone, cut at `features_from`, with the classifier's head.

    Raises:
        BundleError: the backbone has no such layer.
    """
    import keras

    layers = keras.layers
    last = _last_tensor(backbone, architecture)
    if architecture.map_channels:
        last = _fused(backbone, last, architecture.map_channels)
    features = layers.Identity(name=FEATURES_LAYER)(last)
    pooled = layers.GlobalAveragePooling2D(name=POOLED_LAYER)(features)
    logits = _logits(architecture, pooled)
    if architecture.map_channels:
        logits = layers.Add()([logits, _weighted_peak(features)])
    return keras.Model(backbone.input, [features, logits], name=architecture.name)


def build_head(architecture: Architecture, channels: int) -> KerasModel:
    """The head alone: pooled features (n, channels) → (the same, logits (n, outputs)).

    Its layers are named as in the whole network, which takes its weights.
    """
    import keras

    pooled = keras.Input((channels,), name=POOLED_LAYER)
    return keras.Model(pooled, [pooled, _logits(architecture, pooled)], name="head")


def _logits(architecture: Architecture, pooled: KerasTensor) -> KerasTensor:
    import keras

    signal = pooled
    for layer in _hidden_layers(architecture):
        signal = layer(signal)
    return keras.layers.Dense(architecture.outputs, name=LOGIT_LAYER)(signal)


def _fused(backbone: KerasModel, coarse: KerasTensor, channels: int) -> KerasTensor:
    """The last features and those of twice their resolution, fused: (n, 2h, 2w, channels) ≥ 0.

    A feature pyramid's step (Lin et al. 2017) and two residual depthwise convolutions: fractures
    are smaller than a cell of a classifier's last features.
    """
    import keras

    layers = keras.layers
    lateral = layers.Conv2D(channels, 1, name=COARSE_LAYER)(coarse)
    above = layers.UpSampling2D(2, interpolation="bilinear", name="coarse_above")(lateral)
    fine = layers.Conv2D(channels, 1, name="lateral_fine")(_twice_as_fine(backbone, coarse))
    fused = layers.ReLU(name="fused")(layers.Add(name="fusion")([above, fine]))
    for number in (1, 2):
        refine = layers.SeparableConv2D(channels, 3, padding="same", name=f"refine{number}")
        added = layers.Add(name=f"refinement{number}")([fused, refine(fused)])
        fused = layers.ReLU(name=f"refined{number}")(added)
    return fused


def _twice_as_fine(backbone: KerasModel, coarse: KerasTensor) -> KerasTensor:
    """The deepest features with twice the rows and columns of `coarse`."""
    wanted = (2 * coarse.shape[1], 2 * coarse.shape[2])
    outputs = [layer.output for layer in backbone.layers]
    fitting = [output for output in outputs if tuple(output.shape[1:3]) == wanted]
    if not fitting:
        raise BundleError(
            f"{backbone.name} has no features of {wanted[0]} × {wanted[1]} cells for a fracture "
            "map; an input size that is a multiple of 32 gives some"
        )
    return fitting[-1]


def _weighted_peak(features: KerasTensor) -> KerasTensor:
    """(n, 1): the fracture map's mean weighted by its own softmax, times a learned weight."""
    import keras

    layers = keras.layers
    # A rare event: nearly all cells show none.
    rare = keras.initializers.Constant(-3.0)
    cells = layers.Conv2D(1, 1, bias_initializer=rare, name=MAP_LAYER)(features)
    flat = layers.Flatten(name="cells")(cells)
    shares = layers.Softmax(name="cell_shares")(flat)
    peak = layers.Dot(axes=1, name="peak")([shares, flat])
    half = keras.initializers.Constant(0.5)
    return layers.Dense(1, use_bias=False, kernel_initializer=half, name=PEAK_LAYER)(peak)


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


def _last_tensor(backbone: KerasModel, architecture: Architecture) -> KerasTensor:
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


def _from_applications(builder: str, shape: Shape) -> KerasModel:
    """Keras' own code for a published network: no weights, no top, no input scaling inside."""
    import keras

    build_network: Callable[..., KerasModel] = getattr(keras.applications, builder)
    return build_network(input_shape=(*shape, 3), include_top=False, weights=None)


def _resnet_v2(builder: str, shape: Shape) -> KerasModel:
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

    return keras.models.clone_model(_from_applications(builder, shape), clone_function=copied)


BACKBONES: Mapping[str, Callable[[Shape], KerasModel]] = {
    "mobilenet_v2": partial(_from_applications, "MobileNetV2"),
    "resnet50": partial(_from_applications, "ResNet50"),
    "resnet101": partial(_from_applications, "ResNet101"),
    "resnet50_v2": partial(_resnet_v2, "ResNet50V2"),
    "resnet101_v2": partial(_resnet_v2, "ResNet101V2"),
}
"""Name in the card → builder of the backbone without its top for an input of a shape."""
