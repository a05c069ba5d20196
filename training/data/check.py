"""What is wrong with a folder of labelled radiographs, before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from training.data.duplicates import exact_duplicates, near_duplicates
from training.data.example import Example, LabelledFolder
from training.data.fingerprints import Broken, Fingerprint, fingerprint_all

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Leak:
    """What lies in two or more parts although it belongs together; paths are below the folder."""

    what: str
    parts: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Radiographs with one value of an attribute, and how many of them are fractured."""

    value: str
    radiographs: int
    fractured: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All findings; paths are below the folder.

    `exact` are sets with the same pixels, `near` pairs that look the same; `contradictions` are
    those of both whose labels differ. `parts` says where parts come from: a split file, the data
    set itself, or nowhere.
    """

    layout: str
    radiographs: int
    fractured: int
    broken: tuple[Broken, ...]
    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    contradictions: tuple[tuple[str, ...], ...]
    parts: str
    leaks: tuple[Leak, ...]
    regions: tuple[Count, ...]
    views: tuple[Count, ...]
    hardware: tuple[Count, ...]
    without_group: int
    """Radiographs of which neither patient nor anything like it is stated."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is broken and nothing leaks."""
        return not self.broken and not self.leaks

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Plain values."""
        return {"is_sound": self.is_sound, **asdict(self)}


def check(
    data: LabelledFolder,
    part_of: Sequence[str] | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> CheckResult:
    """Read every file and compare all with all.

    Args:
        part_of: the part of every example by a split file; None takes the data set's own.
    """
    stated = [example.part for example in data.examples] if part_of is None else list(part_of)
    origin = "the data set" if part_of is None else "the split file"
    fingerprints = fingerprint_all(data.examples, on_progress)
    duplicates = Duplicates.among(fingerprints)
    grouped = duplicates.joined(data.examples)
    return CheckResult(
        layout=data.layout,
        radiographs=len(data.examples),
        fractured=sum(example.fractured for example in data.examples),
        broken=tuple(one for one in fingerprints if isinstance(one, Broken)),
        exact=_paths(data, duplicates.exact),
        near=_paths(data, duplicates.near),
        contradictions=_paths(data, _contradicting(data.examples, duplicates)),
        parts=origin if any(stated) else "nowhere",
        leaks=tuple(_leaks(data, grouped, stated)),
        regions=_counts(data.examples, lambda example: example.region),
        views=_counts(data.examples, lambda example: example.view),
        hardware=_counts(data.examples, _hardware),
        without_group=sum(not example.groups for example in data.examples),
    )


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Indices of examples that show the same: sets of equal pixels, and pairs of look-alikes."""

    exact: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, ...], ...]

    @classmethod
    def among(cls, fingerprints: Sequence[Fingerprint | Broken]) -> "Duplicates":
        """Of what could be read. Each set of equal pixels is compared with others once."""
        rows = [row for row, one in enumerate(fingerprints) if isinstance(one, Fingerprint)]
        readable = [one for one in fingerprints if isinstance(one, Fingerprint)]
        exact = exact_duplicates(readable)
        repeated = {index for indices in exact for index in indices[1:]}
        kept = [index for index in range(len(readable)) if index not in repeated]
        if not kept:
            return cls((), ())
        near = near_duplicates(np.stack([readable[index].thumbnail for index in kept]))
        return cls(
            tuple(tuple(rows[index] for index in indices) for indices in exact),
            tuple(tuple(rows[kept[index]] for index in pair) for pair in near),
        )

    def joined(self, examples: Sequence[Example]) -> list[Example]:
        """The examples with a group for every set of duplicates, so that no split parts them."""
        names = defaultdict[int, list[str]](list)
        for kind, found in (("same pixels", self.exact), ("look-alikes", self.near)):
            for number, rows in enumerate(found):
                for row in rows:
                    names[row].append(f"{kind} {number}")
        return [
            replace(example, groups=(*example.groups, *names[row]))
            for row, example in enumerate(examples)
        ]


def _paths(data: LabelledFolder, found: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(data.relative(data.examples[row]) for row in rows) for rows in found)


def _contradicting(examples: Sequence[Example], duplicates: Duplicates) -> list[tuple[int, ...]]:
    return [
        rows
        for rows in (*duplicates.exact, *duplicates.near)
        if len({examples[row].fractured for row in rows}) > 1
    ]


def _leaks(data: LabelledFolder, grouped: Sequence[Example], stated: Sequence[str]) -> list[Leak]:
    members = defaultdict[str, list[int]](list)
    for row, example in enumerate(grouped):
        for name in example.groups if stated[row] else ():
            members[name].append(row)
    leaks = []
    for name, rows in members.items():
        parts = tuple(sorted({stated[row] for row in rows}))
        if len(parts) > 1:
            paths = tuple(data.relative(data.examples[row]) for row in rows)
            leaks.append(Leak(name, parts, paths))
    return leaks


def _counts(examples: Sequence[Example], value_of: Callable[[Example], str]) -> tuple[Count, ...]:
    """The most frequent first."""
    values = [value_of(example) or NOT_STATED for example in examples]
    fractured = Counter(
        value for value, example in zip(values, examples, strict=True) if example.fractured
    )
    return tuple(
        Count(value, number, fractured[value]) for value, number in Counter(values).most_common()
    )


def _hardware(example: Example) -> str:
    return {True: "visible", False: "none", None: NOT_STATED}[example.hardware]
