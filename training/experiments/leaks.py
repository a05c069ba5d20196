"""What a careless split does: radiographs of one patient on both sides of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.data.example import Example
from training.splits import TEST, TRAIN, Plan, Split, as_split, connected_groups, make_split


def random_split(examples: Sequence[Example], plan: Plan) -> Split:
    """Radiographs dealt one by one, as if nothing joined them; its groups are the true ones, so
    that intervals still know of them."""
    alone = [replace(example, groups=()) for example in examples]
    part_of = make_split(alone, plan).part_of
    parts = [name for name, _ in plan.parts]
    return as_split(examples, parts, part_of, [int(one) for one in connected_groups(examples)])


def share_seen(split: Split, part: str = TEST, known: str = TRAIN) -> float:
    """Share of `part` whose group is also in `known`: 0 in a grouped split."""
    groups, part_of = np.array(split.groups), np.array(split.part_of)
    return float(np.isin(groups[part_of == part], groups[part_of == known]).mean())
