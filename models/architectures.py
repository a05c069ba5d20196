"""Networks built from code; weights come from a file, never from a hub.

Every network ends in convolution features A → global average pooling → dense ReLU → dropout →
dense logit, and returns (A, logit): what `gradcam` needs to explain in closed form. Keras is
imported when a network is built, so that reading a card costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import BundleError

FEATURES_LAYER = "features"
HIDDEN_LAYER = "hidden"
LOGIT_LAYER = "logit"

KerasModel = Any
"""keras.Model; Any because keras ships no usable types and is imported late."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build a network again. `name` is a key of `BACKBONES`."""

    name: str = "mobilenet_v2"
    input_size: int = 224
    hidden_units: int = 128
    dropout: float = 0.2


def build(
    architecture: Architecture,
    *,
    backbone_weights: Path | None = None,
    freeze_batch_normalization: bool = True,
) -> KerasModel:
    """Network from float32 (n, size, size, 3) in [-1, 1] to (features (n, h, w, K), logit (n, 1)).

    Args:
        backbone_weights: Keras weights file of the ImageNet backbone without its top; None leaves
            the backbone with random weights (a bundle's weights then replace them).
        freeze_batch_normalization: keep the pretrained statistics fixed while training.

    Raises:
        BundleError: unknown architecture.
    """
    import keras

    if architecture.name not in BACKBONES:
        raise BundleError(
            f"unknown architecture {architecture.name!r}; this version knows "
            f"{', '.join(sorted(BACKBONES))}: use a bundle of one of these, or the version of "
            "fracture-screen that the bundle was made with"
        )
    size = architecture.input_size
    backbone = BACKBONES[architecture.name](size)
    if backbone_weights is not None:
        backbone.load_weights(backbone_weights)
    if freeze_batch_normalization:
        _freeze_batch_normalization(backbone)
    features = keras.layers.Identity(name=FEATURES_LAYER)(backbone.output)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
    hidden = keras.layers.Dense(architecture.hidden_units, activation="relu", name=HIDDEN_LAYER)(
        pooled
    )
    dropped = keras.layers.Dropout(architecture.dropout, name="dropout")(hidden)
    logit = keras.layers.Dense(1, name=LOGIT_LAYER)(dropped)
    return keras.Model(backbone.input, [features, logit], name=architecture.name)


def _mobilenet_v2(size: int) -> KerasModel:
    import keras

    return keras.applications.MobileNetV2(
        input_shape=(size, size, 3), include_top=False, weights=None
    )


def _freeze_batch_normalization(backbone: KerasModel) -> None:
    """A frozen BatchNormalization layer also runs in inference mode (Keras transfer learning)."""
    import keras

    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


BACKBONES: dict[str, Callable[[int], KerasModel]] = {"mobilenet_v2": _mobilenet_v2}
"""Name in the card → builder of the backbone without its top for a square input."""
