"""Controls that expose a leak or a shortcut: what can be told without looking at bones.

A network that does not clearly beat `metadata_auc` may have learned which part, view or plate a
radiograph shows; one that beats chance on `shuffled_labels` sees its test data in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.data.example import Example
from training.data.fingerprints import Fingerprint
from training.splits import Split, Stratum, folds_plan, make_split
from training.statistics.folds import auc_within_folds
from training.statistics.intervals import BOOTSTRAP_SAMPLES, Estimate, bootstrap

FOLDS = 5


@dataclass(frozen=True, slots=True)
class MetadataAuc:
    """Cross-validated AUC of a logistic regression on these attributes alone."""

    attributes: tuple[str, ...]
    estimate: Estimate


def metadata_aucs(
    examples: Sequence[Example],
    fingerprints: Sequence[Fingerprint],
    seed: int,
    *,
    samples: int = BOOTSTRAP_SAMPLES,
) -> list[MetadataAuc]:
    """Of all attributes together, of all but hardware, and of each by itself.

    The mean of the test folds' areas; intervals resample groups.

    Raises:
        DataError: too few groups for the folds.
    """
    attributes = _attributes(examples, fingerprints)
    split = make_split(examples, folds_plan(FOLDS, seed, [Stratum.LABEL]))
    names = tuple(attributes)
    subsets = [names, tuple(name for name in names if name != "hardware")]
    subsets += [(name,) for name in names]
    return [
        MetadataAuc(
            subset,
            _cross_validated(examples, split, [attributes[one] for one in subset], samples),
        )
        for subset in subsets
    ]


def shuffled_labels(
    labels: npt.NDArray[np.bool_], split: Split, part: str, seed: int
) -> npt.NDArray[np.bool_]:
    """A copy with the labels of `part` (the training part) dealt anew among its radiographs."""
    rows = np.array(split.rows(part), np.int64)
    dealt = labels.copy()
    dealt[rows] = np.random.default_rng(seed).permutation(labels[rows])
    return dealt


def _attributes(
    examples: Sequence[Example], fingerprints: Sequence[Fingerprint]
) -> dict[str, npt.NDArray[Any]]:  # Any: text or numbers
    """Columns (n): text for categories; sizes as logarithms, so that ratios count."""
    sizes = np.array([(one.rows, one.columns, one.size_bytes) for one in fingerprints], np.float64)
    logs = np.log(sizes)
    return {
        "region": np.array([example.region for example in examples]),
        "view": np.array([example.view for example in examples]),
        "hardware": np.array([str(example.hardware) for example in examples]),
        "rows": logs[:, 0],
        "columns": logs[:, 1],
        "aspect": logs[:, 0] - logs[:, 1],
        "file size": logs[:, 2],
        "mean grey value": np.array([one.mean for one in fingerprints]),
    }


def _cross_validated(
    examples: Sequence[Example],
    split: Split,
    columns: Sequence[npt.NDArray[Any]],  # Any: text or numbers
    samples: int,
) -> Estimate:
    labels = np.array([example.fractured for example in examples], np.bool_)
    part_of = np.array(split.part_of)
    table = np.array(columns, dtype=object).T
    scores = np.zeros(len(labels))
    for fold in split.parts:
        test = part_of == fold
        model = _model(columns).fit(table[~test], labels[~test])
        scores[test] = model.predict_proba(table[test])[:, 1]

    within_folds = auc_within_folds(scores, labels, split.part_of)
    return bootstrap(within_folds, np.array(split.groups, np.int32), samples=samples)


def _model(columns: Sequence[npt.NDArray[Any]]) -> Any:  # Any: scikit-learn ships no types
    numbers = [at for at, column in enumerate(columns) if column.dtype.kind == "f"]
    texts = [at for at, column in enumerate(columns) if column.dtype.kind != "f"]
    return make_pipeline(
        make_column_transformer(
            (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts)
        ),
        LogisticRegression(max_iter=1000),
    )
