"""How far readers, or a model and a reader, agree beyond chance."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt
from sklearn.metrics import cohen_kappa_score

Ratings = npt.NDArray[np.float64]


class Weights(StrEnum):
    """How much a disagreement by k grades counts."""

    NONE = "none"
    """All alike (Cohen 1960)."""
    LINEAR = "linear"
    """k (Cohen 1968)."""
    QUADRATIC = "quadratic"
    """k² (Fleiss & Cohen 1973)."""


def cohen_kappa(
    first: npt.ArrayLike, second: npt.ArrayLike, weights: Weights = Weights.NONE
) -> float:
    """Of two readers' grades (n); NaN where both give one and the same grade throughout.

    Weights go by the order of the grades that occur.
    """
    if len(np.unique([first, second])) == 1:
        return float("nan")
    chosen = None if weights is Weights.NONE else str(weights)
    return float(cohen_kappa_score(first, second, weights=chosen))


def fleiss_kappa(counts: npt.NDArray[np.int64]) -> float:
    """Of any number of readers (Fleiss 1971): `counts` (cases, grades) says how many chose each.

    NaN where all choose one and the same grade.

    Raises:
        ValueError: not the same number of readers, two or more, for every case.
    """
    readers = np.unique(counts.sum(axis=1))
    if len(readers) != 1 or readers[0] < 2:
        raise ValueError(f"every case needs the same two or more readers, not {readers.tolist()}")
    total = int(readers[0])
    shares = counts.sum(axis=0) / counts.sum()
    observed = (np.square(counts).sum(axis=1) - total) / (total * (total - 1))
    by_chance = float(np.square(shares).sum())
    return float((observed.mean() - by_chance) / (1 - by_chance)) if by_chance < 1 else float("nan")


def icc(ratings: Ratings) -> float:
    """Intraclass correlation ICC(2,1) of ratings (cases, readers): absolute agreement of single
    readers, drawn at random like the cases (Shrout & Fleiss 1979). NaN without any spread."""
    cases, readers = ratings.shape
    mean = ratings.mean()
    of_cases, of_readers = ratings.mean(axis=1), ratings.mean(axis=0)
    between = readers * np.square(of_cases - mean).sum() / (cases - 1)
    columns = cases * np.square(of_readers - mean).sum() / (readers - 1)
    residual = ratings - of_cases[:, np.newaxis] - of_readers + mean
    error = np.square(residual).sum() / ((cases - 1) * (readers - 1))
    whole = between + (readers - 1) * error + readers * (columns - error) / cases
    return float((between - error) / whole) if whole else float("nan")
