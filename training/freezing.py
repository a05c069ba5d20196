"""Which layers of a network learn."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from models.architectures import COARSE_LAYER, FEATURES_LAYER, KerasLayer, KerasModel
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
