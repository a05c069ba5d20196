"""One labelled radiograph on disk, and a folder of them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Box:
    """A fracture's bounding box in pixels of the image as stored; (x, y) is its top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled radiograph. What a data set does not state is empty or None.

    `groups` are the names of all that it must never be parted from by a split: its patient, its
    study, its block of neighbouring ids, its duplicates. A name begins with its kind:
    "patient 17". `part` is the part that the data set itself puts it in ("train").
    """

    path: Path
    fractured: bool
    groups: tuple[str, ...]
    region: str = ""
    hardware: bool | None = None
    view: str = ""
    study: str = ""
    laterality: str = ""
    part: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """All examples of `folder`, each of them inside it, as `layout` reads them.

    The others are for model cards: `attribution` names the data set's source, `limits` are what
    must be known of every model trained on it, `body_parts` the BodyPartExamined terms that it
    covers where its regions do not say so.
    """

    folder: Path
    layout: str
    examples: tuple[Example, ...]
    attribution: str
    limits: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()

    def relative(self, example: Example) -> str:
        """Path below the folder, with forward slashes: what reports and split files hold."""
        return example.path.relative_to(self.folder).as_posix()
