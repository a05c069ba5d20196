"""A folder of classes: pictures whose nearest folder of a known name is their label.

Such sets (Kaggle's) state neither patients nor studies: only duplicates can be kept together, so
figures on their splits may be too good.
"""

import re
from pathlib import Path

from training.data.example import Example
from training.data.pixels import is_picture
from training.errors import DataError

FRACTURED = frozenset({"fractured", "fracture", "positive", "abnormal"})
OTHERS = frozenset(
    {
        *("not_fractured", "non_fractured", "unfractured", "no_fracture", "not_fracture"),
        *("negative", "normal", "healthy"),
    }
)
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "validation"
)
"""Folder names by which a set parts itself."""


def recognises(folder: Path) -> bool:
    """Whether folders of both classes lie in it, or in a folder in it, or one deeper."""
    names = {
        _plain(path.name)
        for pattern in ("*", "*/*", "*/*/*")
        for path in folder.glob(pattern)
        if path.is_dir()
    }
    return bool(names & FRACTURED and names & OTHERS)


def read_class_folders(folder: Path) -> list[Example]:
    """All pictures below `folder`, in the order of their paths; hidden files are left out.

    Raises:
        DataError: a picture lies in no folder of a known class, or there is none.
    """
    pictures = sorted(
        path
        for path in folder.rglob("*")
        if is_picture(path) and path.is_file() and not path.name.startswith(".")
    )
    if not pictures:
        raise DataError(f"{folder} holds no pictures")
    return [_example(folder, path) for path in pictures]


def _example(folder: Path, path: Path) -> Example:
    above = [_plain(part) for part in path.relative_to(folder).parts[:-1]]
    return Example(
        path=path,
        fractured=_label(path, above),
        groups=(),
        part=next((PARTS[name] for name in above if name in PARTS), ""),
    )


def _label(path: Path, above: list[str]) -> bool:
    for name in reversed(above):
        if name in FRACTURED | OTHERS:
            return name in FRACTURED
    raise DataError(
        f"{path} lies in no folder of a known class; known are "
        f"{', '.join(sorted(FRACTURED | OTHERS))}"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
