"""Every file below a folder, in the order of their names, of any number, from any place on."""

import os
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from pathlib import Path

NAMES_HELD = 10_000
"""Of one folder at a time."""


def walk(folder: Path, after: Sequence[str] = (), held: int = NAMES_HELD) -> Iterator[Path]:
    """Files after a place in the tree; hidden ones and links to folders are left out.

    Args:
        after: parts of a path below `folder`: the last one that was given; none: from the start.
        held: names that are held of each folder on the way.

    Raises:
        OSError: a folder cannot be read.
    """
    if after:
        entry = folder / after[0]
        if len(after) > 1 and entry.is_dir() and not entry.is_symlink():
            yield from walk(entry, after[1:], held)
    last = after[0] if after else ""
    while names := _names(folder, last, held):
        for name, is_folder in names:
            path = folder / name
            if is_folder:
                yield from walk(path, (), held)
            else:
                yield path
        last = names[-1][0]


def _names(folder: Path, after: str, limit: int) -> list[tuple[str, bool]]:
    """The next names of a folder, each with whether it is a folder itself."""
    with os.scandir(folder) as entries:
        later = (
            (entry.name, entry.is_dir(follow_symlinks=False))
            for entry in entries
            if entry.name > after and not entry.name.startswith(".") and _is_wanted(entry)
        )
        return nsmallest(limit, later)


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() or entry.is_dir(follow_symlinks=False)
