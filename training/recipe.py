"""How a model is trained, as one value that goes into its card; a file of it is TOML."""

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

from models.architectures import Architecture
from models.preprocessing import Preprocessing
from training.augmentation import Augmentation
from training.errors import RecipeError
from training.freezing import Freezing


class Watched(StrEnum):
    """The validation figure that chooses an epoch, lowers the learning rate and stops training."""

    AUC = "auc"
    """Area under the ROC curve; higher is better."""
    LOSS = "loss"
    """Mean cross-entropy without class weights; lower is better (paper A)."""
    NOTHING = "nothing"
    """The last epoch is kept: no radiograph is held back to choose one, so all can teach."""


class Schedule(StrEnum):
    """How the learning rate changes from epoch to epoch."""

    PLATEAU = "plateau"
    """Halved when the watched figure no longer gets better."""
    COSINE = "cosine"
    """From its whole down to nothing along half a cosine over all epochs, after a first epoch with
    a tenth of it; patience does not end training."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are the shipped model's; `presets` holds the papers' protocols."""

    architecture: Architecture = field(default_factory=Architecture)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    freezing: Freezing = field(default_factory=Freezing)
    epochs: int = 20
    """At most so many."""
    learning_rate: float = 1e-4
    """Of Adam."""
    watched: Watched = Watched.AUC
    schedule: Schedule = Schedule.PLATEAU
    plateau_epochs: int = 2
    """Epochs without a better figure before the learning rate is halved, by that schedule."""
    patience: int = 5
    """Epochs without a better figure before training stops."""
    batch_size: int = 32
    class_weights: bool = True
    """Weigh the loss by inverse frequency in what an epoch shows, mean 1."""
    oversampling: bool = False
    """Show radiographs of the rarer class again, each time augmented otherwise, until both are
    equally many; class weights are then 1."""
    average_decay: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is what is validated
    and kept; 0: none. 0.99 averages over about 100 steps."""
    map_weight: float = 0.0
    """Of the fracture map's loss beside the label's; above 0 only with architecture.map_channels
    and data that have boxes."""
    label_smoothing: float = 0.0
    """How far the labels 0 and 1 that are learned lie inside [0, 1], twice."""
    weight_decay: float = 0.0
    """By which weights shrink per step, times the learning rate (AdamW)."""
    seed: int = 7

    def __post_init__(self) -> None:
        if self.architecture.shape != self.preprocessing.shape:
            raise ValueError(
                f"the architecture's input is {self.architecture.shape}, the preprocessing's "
                f"{self.preprocessing.shape}: give both the same"
            )
        if not 0.0 <= self.average_decay < 1.0:
            raise ValueError(f"average_decay is {self.average_decay}, not in [0, 1)")
        if self.watched == Watched.NOTHING and self.schedule != Schedule.COSINE:
            raise ValueError('watched = "nothing" needs schedule = "cosine": a plateau is watched')
        if (self.map_weight > 0) != (self.architecture.map_channels > 0):
            raise ValueError("map_weight and architecture.map_channels: give both or neither")


def recipe_to_toml(recipe: Recipe) -> str:
    """All of a recipe, so that a file still means the same when a default has changed."""
    return "\n".join(_toml_lines(asdict(recipe))) + "\n"


def recipe_from_toml(text: str, source: str = "the recipe") -> Recipe:
    """A recipe; what is not stated has its default.

    Args:
        source: what error messages call the text: its path.

    Raises:
        RecipeError: not TOML, an unknown key, or a value of the wrong kind.
    """
    try:
        return _read(Recipe, tomllib.loads(text), source)
    except ValueError as error:
        raise RecipeError(f"{source}: {error}") from error


def _toml_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Any: str, int, float, bool or a table of them. JSON's scalars are TOML's."""
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{key}]"
            yield from _toml_lines(value)


Read = TypeVar("Read")


def _read(kind: type[Read], values: Mapping[str, Any], where: str) -> Read:
    """A dataclass from a TOML table; Any: as tomllib gives it."""
    hints = get_type_hints(kind)
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # always a dataclass
    for key in values:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, 1, 0) or known[:1]
            raise RecipeError(f"{where} has an unknown key {key!r}; {nearest[0]!r} may be meant")
    return kind(
        **{key: _value(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    )


def _value(kind: type, value: Any, where: str) -> Any:  # Any: a field's value, before and after
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _read(kind, value, where)
    if issubclass(kind, StrEnum) and value in list(kind):
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        wanted = ", ".join(kind) if issubclass(kind, StrEnum) else kind.__name__
        raise RecipeError(f"{where} is {value!r}; {wanted} is meant")
    return value
