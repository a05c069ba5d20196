"""Figures of a cross-validation, where every fold has a model of its own."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.statistics.figures import Labels, Scores, auc
from training.statistics.intervals import RowFigure, Rows


def auc_within_folds(scores: Scores, labels: Labels, folds: Sequence[str]) -> RowFigure:
    """The mean of the folds' areas: ranked together, the folds' different intercepts would pull a
    weak model below 0.5. `folds` (n) names the fold whose model gave each score; a fold without
    both labels is left out."""
    fold_of = np.array(folds)

    def figure(rows: Rows) -> float:
        areas = [auc(scores[own], labels[own]) for own in _by_fold(fold_of[rows], rows)]
        defined = [area for area in areas if not np.isnan(area)]
        return float(np.mean(defined)) if defined else float("nan")

    return figure


def _by_fold(folds: npt.NDArray[np.str_], rows: Rows) -> list[Rows]:
    return [rows[folds == fold] for fold in np.unique(folds)]
