"""Discrimination: ROC area, confusion matrix and what follows from it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int32]


def auc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve: the share of pairs (fractured, other) in the right order, a tie
    counting half (Hanley & McNeil 1982). NaN without both labels."""
    positives, negatives = scores[labels], np.sort(scores[~labels])
    pairs = len(positives) * len(negatives)
    if not pairs:
        return float("nan")
    below = np.searchsorted(negatives, positives, "left").sum()
    not_above = np.searchsorted(negatives, positives, "right").sum()
    return float(below + not_above) / (2 * pairs)


def sensitivity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of the fractured with score ≥ threshold; NaN if there are none."""
    return confusion(scores, labels, threshold).sensitivity


def specificity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of the not fractured with score < threshold; NaN if there are none."""
    return confusion(scores, labels, threshold).specificity


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts at an operating point, and the figures they give; a figure of nothing is NaN.

    Precision, recall and F1 of a class are those of scikit-learn's `classification_report`, but
    where scikit-learn says 0 for an undefined precision.
    """

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int

    @property
    def count(self) -> int:
        """All radiographs."""
        positives = self.true_positives + self.false_negatives
        return positives + self.false_positives + self.true_negatives

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return _share(self.true_positives + self.true_negatives, self.count)

    @property
    def sensitivity(self) -> float:
        """Recall of the fractured."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """Recall of the others."""
        return _share(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> float:
        """Share of the called fractured that are: positive predictive value."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def negative_precision(self) -> float:
        """Share of the called unfractured that are: negative predictive value."""
        return _share(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Of the fractured: 2 TP / (2 TP + FP + FN)."""
        errors = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + errors)

    @property
    def negative_f1(self) -> float:
        """Of the others."""
        errors = self.false_positives + self.false_negatives
        return _share(2 * self.true_negatives, 2 * self.true_negatives + errors)

    @property
    def macro_f1(self) -> float:
        """Mean of both classes' F1."""
        return (self.f1 + self.negative_f1) / 2


def confusion(scores: Scores, labels: Labels, threshold: float) -> Confusion:
    """Counts with score ≥ threshold called fractured."""
    called = scores >= threshold
    return Confusion(
        true_positives=int(np.count_nonzero(called & labels)),
        false_negatives=int(np.count_nonzero(~called & labels)),
        false_positives=int(np.count_nonzero(called & ~labels)),
        true_negatives=int(np.count_nonzero(~called & ~labels)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
