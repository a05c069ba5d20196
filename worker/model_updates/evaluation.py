"""A labelled evaluation set, and what models say of it. Needs the training extra.

The only module of the worker that measures on labels; no service imports it.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.classifier import Classification, Classifier
from models.prediction import OperatingPoint
from training.data.example import Example
from training.data.fingerprints import file_sha256
from training.data.layouts import AUTO, read_labelled_folder
from training.data.pixels import read_pixels
from training.split_file import read_part
from training.splits import TEST
from training.statistics.calibration import Binning, brier, calibration_error
from training.statistics.figures import auc, sensitivity, specificity
from training.statistics.intervals import Estimate, bootstrap, wilson, with_interval
from worker.errors import NothingToDo

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Figure = Callable[[Floats, Flags], float]
"""Of scores and labels, as in `training.statistics`."""

MAP_CELLS = 7
AT_FLAG: dict[str, Figure] = {
    "sensitivity": partial(sensitivity, threshold=0.5),
    "specificity": partial(specificity, threshold=0.5),
}
"""Figures of flags that are 1.0 where set."""
_CHUNK = 8


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """Labelled radiographs, kept from training; `digest` covers names, labels and files."""

    examples: tuple[Example, ...]
    groups: npt.NDArray[np.int32]
    digest: str
    split_digest: str
    """Of the split whose test part they are; "": no split file was given."""

    @property
    def fractured(self) -> Flags:
        """Labels (n)."""
        return np.array([example.fractured for example in self.examples], np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What one model says of an evaluation set; all arrays have one entry per radiograph."""

    probabilities: Floats
    possible: Floats
    """1.0 where at least the sensitive operating point is reached, else 0.0."""
    likely: Floats
    """1.0 where the specific operating point is reached, else 0.0."""
    seconds: Floats
    maps: Floats
    """(n, MAP_CELLS, MAP_CELLS), the saliency maps in [0, 1]."""
    outside_scope: Floats
    """1.0 where serving would reject the radiograph: nothing is flagged there, else 0.0."""
    spread: Floats
    """Share of the radiograph where its map is at least half its maximum; 1 for an empty map."""


def read_evaluation_set(data: Path, split_file: Path | None) -> EvaluationSet:
    """A folder of labelled radiographs in any layout, or the test part that `split_file` names.

    Raises:
        DataError: the folder or the split file cannot be read, they do not fit each other, or the
            split has no test part.
        NothingToDo: all radiographs have the same label.
    """
    part = read_part(read_labelled_folder(data, AUTO), split_file, TEST)
    if len({example.fractured for example in part.examples}) < 2:
        where = data if split_file is None else f"the part {TEST!r} of {split_file}"
        raise NothingToDo(f"{where} must hold fractured and other radiographs")
    return EvaluationSet(
        part.examples, part.groups, _digest(data, part.examples), part.split_digest
    )


def score(
    classifiers: Sequence[Classifier],
    examples: Sequence[Example],
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Scores]:
    """Classify and explain all examples by each classifier as serving does.

    They take turns within small batches, so that what else the machine does burdens all alike.
    """
    classified: list[list[Classification]] = [[] for _ in classifiers]
    seconds: list[list[float]] = [[] for _ in classifiers]
    for start in range(0, len(examples), _CHUNK):
        chunk = examples[start : start + _CHUNK]
        pixels = [read_pixels(example.path) for example in chunk]
        regions = [example.region.upper() for example in chunk]
        for number, classifier in enumerate(classifiers):
            began = time.perf_counter()
            classified[number] += classifier.classify(pixels, regions)
            seconds[number] += [(time.perf_counter() - began) / len(chunk)] * len(chunk)
        on_progress(len(chunk))
    return [_scores(ones, times) for ones, times in zip(classified, seconds, strict=True)]


def figures(scores: Scores, of: EvaluationSet) -> dict[str, Any]:  # Any: JSON
    """AUC, operating points and what is rejected with 95 % intervals; calibration, seconds."""
    labels = of.fractured

    def estimate(figure: Figure, values: Floats) -> dict[str, float]:
        return asdict(with_interval(figure, values, labels, of.groups))

    flags = {"possible": scores.possible, "likely": scores.likely}
    return {
        "auc": estimate(auc, scores.probabilities),
        **{
            f"{name} {kind}": estimate(figure, flagged)
            for name, flagged in flags.items()
            for kind, figure in AT_FLAG.items()
        },
        "calibration_error": calibration_error(scores.probabilities, labels, Binning.EQUAL_MASS),
        "outside_scope": asdict(wilson(int(scores.outside_scope.sum()), len(labels))),
        "brier": brier(scores.probabilities, labels),
        "median_seconds": float(np.median(scores.seconds)),
    }


def paired_loss(figure: Figure, champion: Floats, candidate: Floats, of: EvaluationSet) -> Estimate:
    """What the candidate falls short of the champion in `figure`, with its 95 % interval.

    Raises:
        ValueError: all labels are alike.
    """
    labels = of.fractured

    def loss(rows: npt.NDArray[np.int64]) -> float:
        chosen = labels[rows]
        return figure(champion[rows], chosen) - figure(candidate[rows], chosen)

    return bootstrap(loss, of.groups)


def _scores(classified: Sequence[Classification], seconds: Sequence[float]) -> Scores:
    points = [None if one.outside_scope else one.prediction.operating_point for one in classified]
    maps = [one.saliency.values for one in classified]
    cells = [cv2.resize(one, (MAP_CELLS, MAP_CELLS), interpolation=cv2.INTER_AREA) for one in maps]
    return Scores(
        probabilities=np.array([one.prediction.probability for one in classified]),
        possible=np.array([point is not None for point in points], np.float64),
        likely=np.array([point is OperatingPoint.SPECIFIC for point in points], np.float64),
        seconds=np.array(seconds),
        outside_scope=np.array([one.outside_scope for one in classified], np.float64),
        maps=np.array(cells, np.float64),
        spread=np.array([float((one >= 0.5).mean()) if one.any() else 1.0 for one in maps]),
    )


def _digest(folder: Path, examples: Sequence[Example]) -> str:
    lines = sorted(
        f"{example.path.relative_to(folder).as_posix()} {int(example.fractured)} "
        f"{file_sha256(example.path)}"
        for example in examples
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
