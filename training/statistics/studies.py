"""From radiographs to studies: one probability per study, however many views it has."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from training.statistics.figures import Labels, Scores


class Aggregation(StrEnum):
    """How the views of a study become one probability; a report must state which."""

    MAXIMUM = "max"
    """The most suspicious view: what screening does (`worker.conclude`). Grows with the views."""
    MEAN = "mean"
    """The average; a fracture that one view shows is diluted by the others."""
    NOISY_OR = "noisy-or"
    """1 − Π(1 − p): views as independent evidence, which they are not. Grows with the views."""


def aggregate(
    probabilities: Scores, labels: Labels, studies: Sequence[str], how: Aggregation
) -> tuple[Scores, Labels, npt.NDArray[np.int64]]:
    """Probability and label per study, and the index of each study's first radiograph (with which
    to look up its groups). A study is fractured where any of its radiographs is.

    Raises:
        ValueError: a radiograph without a study, which would join all that have none.
    """
    if not all(studies):
        raise ValueError("every radiograph needs a study")
    _, first, numbers = np.unique(np.array(studies), return_index=True, return_inverse=True)
    count = len(first)
    fractured = np.bincount(numbers, weights=labels, minlength=count) > 0
    return _AGGREGATIONS[how](probabilities, numbers, count), fractured, first


def _maximum(probabilities: Scores, numbers: npt.NDArray[np.intp], count: int) -> Scores:
    highest = np.zeros(count)
    np.maximum.at(highest, numbers, probabilities)
    return highest


def _mean(probabilities: Scores, numbers: npt.NDArray[np.intp], count: int) -> Scores:
    return np.bincount(numbers, probabilities, count) / np.bincount(numbers, minlength=count)


def _noisy_or(probabilities: Scores, numbers: npt.NDArray[np.intp], count: int) -> Scores:
    none = np.ones(count)
    np.multiply.at(none, numbers, 1.0 - probabilities)
    return 1.0 - none


_AGGREGATIONS = {
    Aggregation.MAXIMUM: _maximum,
    Aggregation.MEAN: _mean,
    Aggregation.NOISY_OR: _noisy_or,
}
