"""A split on disk: JSON that names every file with its digest, part and group."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from training.data.example import Example, LabelledFolder
from training.data.fingerprints import file_sha256
from training.errors import DataError
from training.splits import GroupNumbers, Plan, Split, as_split, connected_groups

FORMAT = "fracture-screen split 1"


class Verification(StrEnum):
    """How files are held against a split when it is loaded."""

    FULL = "full"
    """By SHA-256 of every file."""
    FAST = "fast"
    """By path and size: nothing is read."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of a folder's radiographs, each with its connected group, the unit of resampling."""

    examples: tuple[Example, ...]
    groups: GroupNumbers
    split_digest: str
    """Of the split that they are a part of; "": all of the folder."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    size: int
    sha256: str
    part: str
    group: int


def save_split(path: Path, data: LabelledFolder, split: Split, plan: Plan) -> None:
    """Write `path`, one line per radiograph.

    Raises:
        DataError: `path` exists, or a file of the data cannot be read.
    """
    if path.exists():
        raise DataError(f"{path} exists; a split is never changed: name another file")
    header = {
        "format": FORMAT,
        "layout": data.layout,
        "seed": plan.seed,
        "stratified_by": [str(one) for one in plan.strata],
        "allocated": dict(plan.parts),
        "parts": split.parts,
        "digest": split.digest,
    }
    entries = [
        json.dumps(_described(data, example, part, group))
        for example, part, group in zip(data.examples, split.part_of, split.groups, strict=True)
    ]
    start = json.dumps(header, indent=1)[: -len("\n}")]
    text = start + ',\n "examples": [\n  ' + ",\n  ".join(entries) + "\n ]\n}\n"
    unfinished = path.with_name(f"unfinished.{path.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def load_split(
    path: Path, data: LabelledFolder, verification: Verification = Verification.FULL
) -> Split:
    """The split that `path` holds, for exactly these examples in their order.

    Raises:
        DataError: not a split file, of another layout, or its first entry that does not fit the
            data: a file that is missing, changed, or in only one of both.
    """
    content = _content(path)
    if content["layout"] != data.layout:
        raise DataError(
            f"{path} is a split of layout {content['layout']}, the data's is {data.layout}"
        )
    entries = {entry["path"]: _Entry(**entry) for entry in content["examples"]}
    _refuse_other_files(path, data, entries)
    ordered = [entries[data.relative(example)] for example in data.examples]
    for example, entry in zip(data.examples, ordered, strict=True):
        _verify(path, example.path, entry, verification)
    return _split_of(path, content, data.examples, ordered)


def read_part(data: LabelledFolder, split_file: Path | None, part: str) -> Part:
    """The radiographs that `split_file` puts in `part`; all of `data` without a split file.

    Raises:
        DataError: as `load_split`, or the split has no such part.
    """
    if split_file is None:
        return Part(data.examples, connected_groups(data.examples), "")
    split = load_split(split_file, data)
    rows = split.rows(part)
    if not rows:
        raise DataError(f"{split_file} has no part {part!r}, but {', '.join(split.parts)}")
    groups = np.array([split.groups[row] for row in rows], np.int32)
    return Part(tuple(data.examples[row] for row in rows), groups, split.digest)


def _described(data: LabelledFolder, example: Example, part: str, group: int) -> dict[str, object]:
    return {
        "path": data.relative(example),
        "sha256": file_sha256(example.path),
        "size": example.path.stat().st_size,
        "part": part,
        "group": group,
    }


def _content(path: Path) -> dict[str, Any]:  # Any: JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a split: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is no split file ({FORMAT!r}); `data split` writes one")
    return content


def _refuse_other_files(path: Path, data: LabelledFolder, entries: dict[str, _Entry]) -> None:
    here = {data.relative(example) for example in data.examples}
    for name in entries:
        if name not in here:
            raise DataError(f"{path} names {name}, which is not among the data of {data.folder}")
    for example in data.examples:
        if data.relative(example) not in entries:
            raise DataError(f"{data.relative(example)} of {data.folder} is not in {path}")


def _verify(path: Path, file: Path, entry: _Entry, verification: Verification) -> None:
    if not file.is_file():
        raise DataError(f"{file} is missing; {path} was made with it")
    size = file.stat().st_size
    if size != entry.size:
        raise DataError(f"{file} has {size} bytes, {path} was made with {entry.size}")
    if verification is Verification.FULL and file_sha256(file) != entry.sha256:
        raise DataError(f"{file} has another SHA-256 than when {path} was made")


def _split_of(
    path: Path,
    content: dict[str, Any],  # Any: JSON
    examples: Sequence[Example],
    entries: Sequence[_Entry],
) -> Split:
    split = as_split(
        examples,
        content["parts"],
        [entry.part for entry in entries],
        [entry.group for entry in entries],
    )
    if split.digest != content["digest"]:
        raise DataError(f"{path} was edited: its digest does not fit its entries")
    return split
