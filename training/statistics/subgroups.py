"""Figures within body parts, views or with hardware: where a model fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.statistics.figures import Groups, Labels, Scores
from training.statistics.intervals import BOOTSTRAP_SAMPLES, Estimate, with_interval

MINIMUM_RADIOGRAPHS = 10
"""Of each label, below which no figure is given."""
MINIMUM_GROUPS = 5
"""With fractured radiographs, and with others, below which no figure is given."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One line; `estimate` is None where `remark` says why no figure can be given."""

    value: str
    radiographs: int
    fractured: int
    groups: int
    estimate: Estimate | None
    remark: str = ""


def subgroup_table(
    figure: Callable[[Scores, Labels], float],
    scores: Scores,
    labels: Labels,
    groups: Groups,
    values: Sequence[str],
    *,
    samples: int = BOOTSTRAP_SAMPLES,
) -> list[Subgroup]:
    """`figure` for each of `values` (n), the largest first, resampled by group."""
    array = np.array(values)
    names, sizes = np.unique(array, return_counts=True)
    table = []
    for name in names[np.argsort(-sizes, kind="stable")]:
        chosen = array == name
        own_labels, own_groups = labels[chosen], groups[chosen]
        remark = _too_small(own_labels, own_groups)
        estimate = (
            None
            if remark
            else with_interval(figure, scores[chosen], own_labels, own_groups, samples=samples)
        )
        table.append(
            Subgroup(
                str(name),
                len(own_labels),
                int(np.count_nonzero(own_labels)),
                len(np.unique(own_groups)),
                estimate,
                remark,
            )
        )
    return table


def _too_small(labels: Labels, groups: Groups) -> str:
    for kind, chosen in (("fractured", labels), ("other", ~labels)):
        count, separate = int(np.count_nonzero(chosen)), len(np.unique(groups[chosen]))
        if count < MINIMUM_RADIOGRAPHS or separate < MINIMUM_GROUPS:
            return f"too small: {count} {kind} radiographs in {separate} groups"
    return ""
