"""Grouped, stratified splits: what belongs together stays together, labels and regions stay alike.

How a split is kept on disk is in split_file.py.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.data.example import Example
from training.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
RARE = 30
"""A stratum with fewer radiographs is not balanced by itself: a few groups hold it all."""

Counts = npt.NDArray[np.float64]
GroupNumbers = npt.NDArray[np.int32]


class Stratum(StrEnum):
    """What is kept alike in all parts."""

    LABEL = "label"
    """The share of fractured radiographs."""
    REGION = "region"
    """The share of each body part, fractured and not."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to part examples: `parts` are names with their relative shares."""

    parts: tuple[tuple[str, float], ...]
    seed: int
    strata: tuple[Stratum, ...] = (Stratum.LABEL, Stratum.REGION)

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parts]
        if len(self.parts) < 2 or len(set(names)) < len(names):
            raise DataError(f"a split needs two or more different parts, got {names}")
        if not all(share > 0 for _, share in self.parts):
            raise DataError(f"every share must be above 0, got {dict(self.parts)}")


@dataclass(frozen=True, slots=True)
class Split:
    """The part of every example, and its connected group (the unit of resampling), by index.

    `digest` (SHA-256 hex) says which pictures went where.
    """

    parts: tuple[str, ...]
    part_of: tuple[str, ...]
    groups: tuple[int, ...]
    digest: str

    def rows(self, part: str) -> tuple[int, ...]:
        """Indices of the examples in `part`, ascending."""
        return tuple(row for row, name in enumerate(self.part_of) if name == part)


def shares_plan(
    shares: Sequence[float],
    seed: int,
    strata: Sequence[Stratum] = (Stratum.LABEL, Stratum.REGION),
) -> Plan:
    """Train and test of two shares (80, 20); train, validation and test of three (72, 18, 10).

    Raises:
        DataError: another number of shares, or one that is not above 0.
    """
    names = {2: (TRAIN, TEST), 3: (TRAIN, VALIDATION, TEST)}.get(len(shares))
    if names is None:
        raise DataError(f"two or three shares are needed, such as 72/18/10, not {len(shares)}")
    return Plan(tuple(zip(names, shares, strict=True)), seed, tuple(strata))


def folds_plan(
    folds: int, seed: int, strata: Sequence[Stratum] = (Stratum.LABEL, Stratum.REGION)
) -> Plan:
    """`folds` equal parts, "fold 0" and on; each is the test part once (`fold_as_test`)."""
    return Plan(tuple((f"fold {number}", 1.0) for number in range(folds)), seed, tuple(strata))


def make_split(examples: Sequence[Example], plan: Plan) -> Split:
    """Every example in one part, no group in two.

    Raises:
        DataError: too few groups for every part to hold fractured and other radiographs.
    """
    groups = connected_groups(examples)
    labels = np.array([example.fractured for example in examples], np.bool_)
    _refuse_too_few_groups(groups, labels, len(plan.parts))
    counts = _counts_per_group(groups, _strata(examples, plan.strata))
    shares = [share for _, share in plan.parts]
    part_of_group = _allocate(counts, shares, np.random.RandomState(plan.seed))
    names = tuple(name for name, _ in plan.parts)
    part_of = tuple(names[part_of_group[group]] for group in groups)
    _refuse_a_single_label(labels, names, part_of)
    return as_split(examples, names, part_of, [int(group) for group in groups])


def fold_as_test(examples: Sequence[Example], folds: Split, fold: int) -> Split:
    """That fold for test, the next for validation, all others for training.

    Raises:
        DataError: no such fold, or fewer than three.
    """
    count = len(folds.parts)
    if not 0 <= fold < count or count < 3:
        raise DataError(f"fold {fold} for test needs three or more folds, 0 to {count - 1} here")
    roles = {folds.parts[fold]: TEST, folds.parts[(fold + 1) % count]: VALIDATION}
    part_of = tuple(roles.get(name, TRAIN) for name in folds.part_of)
    return as_split(examples, (TRAIN, VALIDATION, TEST), part_of, folds.groups)


def as_split(
    examples: Sequence[Example],
    parts: Sequence[str],
    part_of: Sequence[str],
    groups: Sequence[int],
) -> Split:
    """A split of that content, with its digest: over each part's pictures, by their paths below
    the folder that they share, in their order, so that moved or reordered data keep it."""
    above = os.path.commonpath([example.path.parent for example in examples])
    numbers = {part: number for number, part in enumerate(parts)}
    placed = sorted(
        (numbers[part], example.path.relative_to(above).as_posix())
        for example, part in zip(examples, part_of, strict=True)
    )
    lines = "\n".join(f"{number} {path}" for number, path in placed)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return Split(tuple(parts), tuple(part_of), tuple(groups), digest)


def connected_groups(examples: Sequence[Example]) -> GroupNumbers:
    """Group number per example: two that share any name in `groups` get the same, transitively."""
    names = {name: column for column, name in enumerate({n for e in examples for n in e.groups})}
    pairs = [(row, names[name]) for row, example in enumerate(examples) for name in example.groups]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    count = len(examples)
    nodes = count + len(names)
    edges = coo_array((np.ones(len(pairs)), (rows, columns + count)), shape=(nodes, nodes))
    _, labels = connected_components(edges, directed=False)
    return np.asarray(labels[:count], np.int32)


def _strata(examples: Sequence[Example], strata: Sequence[Stratum]) -> list[list[str]]:
    """The strata that each example counts for. The label alone is always one of them, so that many
    small regions cannot outweigh it."""
    labels = [str(example.fractured) for example in examples]
    if Stratum.REGION not in strata:
        return [[label] for label in labels]
    finer = [f"{label} {example.region}" for label, example in zip(labels, examples, strict=True)]
    sizes = Counter(finer)
    return [
        [label, one] if sizes[one] >= RARE else [label]
        for label, one in zip(labels, finer, strict=True)
    ]


def _counts_per_group(groups: GroupNumbers, strata: Sequence[Sequence[str]]) -> Counts:
    """Radiographs (groups, strata)."""
    columns = {name: at for at, name in enumerate(sorted({one for own in strata for one in own}))}
    counts = np.zeros((int(groups.max()) + 1, len(columns)))
    for group, own in zip(groups, strata, strict=True):
        for name in own:
            counts[group, columns[name]] += 1
    return counts


def _allocate(
    counts: Counts, shares: Sequence[float], random: np.random.RandomState
) -> npt.NDArray[np.intp]:
    """The part of each group: one after the other, the uneven first, each goes where the strata
    then are spread most evenly over the shares.

    With equal shares this is scikit-learn's StratifiedGroupKFold, which knows no others.
    """
    scale = np.array(shares) * len(shares) / sum(shares)
    order = random.permutation(len(counts))
    order = order[np.argsort(-np.std(counts[order], axis=1), kind="stable")]
    totals = counts.sum(axis=0)
    filled = np.zeros((len(shares), counts.shape[1]))
    part_of = np.zeros(len(counts), np.intp)
    for group in order:
        part_of[group] = _best_part(filled, counts[group], scale, totals)
        filled[part_of[group]] += counts[group]
    return part_of


def _best_part(filled: Counts, group: Counts, scale: Counts, totals: Counts) -> int:
    """The part whose growth leaves the least spread; of equals the emptiest."""
    count = len(filled)
    grown = np.repeat(filled[np.newaxis], count, axis=0)
    grown[np.arange(count), np.arange(count)] += group
    spread = np.std(grown / scale[:, np.newaxis] / totals, axis=1).mean(axis=1)
    emptiness = filled.sum(axis=1) / scale
    best = 0
    for part in range(1, count):
        equal = abs(spread[part] - spread[best]) <= 1e-8 + 1e-5 * spread[best]
        if spread[part] < spread[best] or (equal and emptiness[part] < emptiness[best]):
            best = part
    return best


def _refuse_too_few_groups(groups: GroupNumbers, labels: npt.NDArray[np.bool_], parts: int) -> None:
    for kind, chosen in (("fractured", labels), ("other", ~labels)):
        if (found := len(np.unique(groups[chosen]))) < parts:
            raise DataError(
                f"{found} separate groups hold {kind} radiographs; a split needs {parts}: "
                "add data, or check the columns that join radiographs"
            )


def _refuse_a_single_label(
    labels: npt.NDArray[np.bool_], parts: Sequence[str], part_of: Sequence[str]
) -> None:
    for name in parts:
        if len(np.unique(labels[np.array(part_of) == name])) < 2:
            raise DataError(
                f"the {name} part would hold only one of fractured and other radiographs: the "
                "groups are too few or too uneven; add data, or try another seed"
            )
