"""Grouped, stratified splits: what belongs together stays together, fracture rates stay alike."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from training.data.example import Example
from training.errors import DataError

FOLDS = 6


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the examples; `digest` (SHA-256 hex) says which pictures went where."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    groups: tuple[int, ...]
    """For every example the number of its connected group (the unit of resampling)."""
    digest: str


def split_by_group(examples: Sequence[Example], seed: int) -> Split:
    """Four parts for training, one for validation, one for test, no group in two of them.

    Raises:
        DataError: too few groups for every part to hold fractured and other radiographs.
    """
    groups = connected_groups(examples)
    labels = np.array([example.fractured for example in examples], np.bool_)
    _check_enough_groups(groups, labels)
    folds = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    parts = [part for _, part in folds.split(np.zeros(len(labels)), labels, groups)]
    train = tuple(sorted(int(index) for part in parts[2:] for index in part))
    validation, test = (tuple(int(index) for index in part) for part in (parts[1], parts[0]))
    _check_both_labels(labels, {"training": train, "validation": validation, "test": test})
    return Split(
        train, validation, test, tuple(int(group) for group in groups),
        _digest(examples, (train, validation, test)),
    )  # fmt: skip


def connected_groups(examples: Sequence[Example]) -> npt.NDArray[np.int32]:
    """Group number per example: two that share any name in `groups` get the same, transitively."""
    names = {name: column for column, name in enumerate({n for e in examples for n in e.groups})}
    pairs = [(row, names[name]) for row, example in enumerate(examples) for name in example.groups]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    count = len(examples)
    nodes = count + len(names)
    edges = coo_array((np.ones(len(pairs)), (rows, columns + count)), shape=(nodes, nodes))
    _, labels = connected_components(edges, directed=False)
    return np.asarray(labels[:count], np.int32)


def _check_enough_groups(groups: npt.NDArray[np.int32], labels: npt.NDArray[np.bool_]) -> None:
    for kind, chosen in (("fractured", labels), ("other", ~labels)):
        if (found := len(np.unique(groups[chosen]))) < FOLDS:
            raise DataError(
                f"{found} separate groups hold {kind} radiographs; a split needs {FOLDS}: "
                "add data, or check the columns that join radiographs"
            )


def _check_both_labels(labels: npt.NDArray[np.bool_], parts: Mapping[str, Sequence[int]]) -> None:
    for name, part in parts.items():
        if len(np.unique(labels[list(part)])) < 2:
            raise DataError(
                f"the {name} part would hold only one of fractured and other radiographs: the "
                "groups are too few or too uneven; add data, or try another seed"
            )


def _digest(examples: Sequence[Example], parts: Sequence[Sequence[int]]) -> str:
    lines = [
        f"{number} {examples[index].path.name}"
        for number, part in enumerate(parts)
        for index in part
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
