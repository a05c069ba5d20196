"""All figures of a scored part of the data, as JSON: what reports are written from.

Figures at "one half" call a radiograph fractured from the probability 0.5 on, as both papers do.
Intervals are 95 %, by bootstrap over groups.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from models.calibration import Calibration
from models.prediction import OperatingPoints
from training.controls import metadata_aucs
from training.data.example import LabelledFolder
from training.data.fingerprints import fingerprint_readable
from training.errors import RunError
from training.progress import Report, counting
from training.scored import (
    SENSITIVITY_GOAL,
    SPECIFICITY_GOAL,
    UNCALIBRATED,
    Json,
    ScoredExamples,
    as_json,
    subgroups,
)
from training.statistics.calibration import (
    Binning,
    brier,
    calibration_error,
    fit_calibration,
    fit_temperature,
)
from training.statistics.comparison import delong, mcnemar, midranks, permutation_test
from training.statistics.figures import Confusion, Labels, Scores, auc, confusion
from training.statistics.folds import auc_within_folds
from training.statistics.intervals import (
    BOOTSTRAP_SAMPLES,
    Estimate,
    bootstrap,
    with_interval,
)
from training.statistics.operating_points import choose_operating_points
from training.statistics.studies import Aggregation, aggregate

FIGURES_AT_A_POINT: Mapping[str, Callable[[Confusion], float]] = {
    "accuracy": lambda counts: counts.accuracy,
    "sensitivity": lambda counts: counts.sensitivity,
    "specificity": lambda counts: counts.specificity,
    "precision": lambda counts: counts.precision,
    "negative_precision": lambda counts: counts.negative_precision,
    "f1": lambda counts: counts.f1,
    "negative_f1": lambda counts: counts.negative_f1,
    "macro_f1": lambda counts: counts.macro_f1,
}


def measure(
    validation: ScoredExamples, test: ScoredExamples, samples: int = BOOTSTRAP_SAMPLES
) -> Json:
    """Everything about one model: thresholds and calibration from validation, figures on test."""
    points = operating_points(validation)
    return {
        "radiographs": len(test.examples),
        "fractured": int(test.fractured.sum()),
        "groups": len(np.unique(test.groups)),
        "auc": as_json(
            with_interval(auc, test.logits, test.fractured, test.groups, samples=samples)
        ),
        "one half": at_threshold(test, 0.5, samples),
        "sensitive point": at_threshold(test, points.sensitive, samples),
        "specific point": at_threshold(test, points.specific, samples),
        "calibration": calibrations(validation, test),
        "subgroups": subgroups(test, test.logits, samples),
        "studies": studies(test, samples),
    }


def measure_folds(folds: Mapping[str, ScoredExamples], samples: int = BOOTSTRAP_SAMPLES) -> Json:
    """A cross-validated model: test parts of the folds, each scored by its fold's own model."""
    joined, names = joined_folds(folds)
    figure = auc_within_folds(joined.logits, joined.fractured, names)
    return {
        "radiographs": len(joined.examples),
        "fractured": int(joined.fractured.sum()),
        "groups": len(np.unique(joined.groups)),
        "auc": as_json(bootstrap(figure, joined.groups, samples=samples)),
        "auc of each fold": [_number(auc(one.logits, one.fractured)) for one in folds.values()],
        "one half": at_threshold(joined, 0.5, samples),
        "subgroups": subgroups(joined, joined.logits, samples),
        "studies": studies(joined, samples),
    }


def joined_folds(folds: Mapping[str, ScoredExamples]) -> tuple[ScoredExamples, list[str]]:
    """The folds' test parts one behind the other, and the fold of each radiograph."""
    parts = list(folds.values())
    joined = ScoredExamples(
        [example for part in parts for example in part.examples],
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
    return joined, [name for name, part in folds.items() for _ in part.examples]


def operating_points(validation: ScoredExamples) -> OperatingPoints:
    """Thresholds on the uncalibrated probability: for both goals."""
    return choose_operating_points(
        validation.probabilities,
        validation.fractured,
        sensitivity_goal=SENSITIVITY_GOAL,
        specificity_goal=SPECIFICITY_GOAL,
    )


def at_threshold(test: ScoredExamples, threshold: float, samples: int = BOOTSTRAP_SAMPLES) -> Json:
    """The confusion matrix at a probability, and the figures that follow from it."""
    scores, labels = test.probabilities, test.fractured

    def estimate(figure: Callable[[Confusion], float]) -> Json:
        value = figure(confusion(scores, labels, threshold))
        if math.isnan(value):
            return as_json(Estimate(value, value, value))

        def at_point(own: Scores, own_labels: Labels) -> float:
            return figure(confusion(own, own_labels, threshold))

        return as_json(with_interval(at_point, scores, labels, test.groups, samples=samples))

    return {
        "threshold": threshold,
        "confusion": asdict(confusion(scores, labels, threshold)),
        **{name: estimate(figure) for name, figure in FIGURES_AT_A_POINT.items()},
    }


def calibrations(validation: ScoredExamples, test: ScoredExamples) -> Json:
    """Brier score and calibration errors on test, uncalibrated and calibrated on validation."""
    found: Json = {}
    for name, calibration in fitted(validation).items():
        probabilities, labels = calibration.probability(test.logits), test.fractured
        found[name] = {
            **asdict(calibration),
            "brier": brier(probabilities, labels),
            **{
                f"ECE, {binning}": calibration_error(probabilities, labels, binning)
                for binning in Binning
            },
        }
    return found


def fitted(validation: ScoredExamples) -> dict[str, Calibration]:
    """Name → calibration; Platt's is left out where a network ranks no better than chance."""
    logits, labels = validation.logits, validation.fractured
    found = {"none": UNCALIBRATED, "temperature": fit_temperature(logits, labels)}
    try:
        found["Platt"] = fit_calibration(logits, labels)
    except RunError:
        return found
    return found


def studies(test: ScoredExamples, samples: int = BOOTSTRAP_SAMPLES) -> Json | None:
    """AUC per study by each way to join its views; None where the data state no studies."""
    names = [one.study for one in test.examples]
    if not all(names):
        return None
    found: Json = {"studies": len(set(names)), "views": len(names)}
    for how in Aggregation:
        scores, labels, first = aggregate(test.probabilities, test.fractured, names, how)
        estimate = with_interval(auc, scores, labels, test.groups[first], samples=samples)
        found[str(how)] = as_json(estimate)
    return found


def compare(
    first: tuple[ScoredExamples, ScoredExamples],
    second: tuple[ScoredExamples, ScoredExamples],
    samples: int = BOOTSTRAP_SAMPLES,
) -> Json:
    """Two models, (validation, test) each, on the same test radiographs."""
    (_, one), (_, other) = first, second
    labels, groups = one.fractured, one.groups

    def difference(rows: Any) -> float:  # Any: row numbers
        return auc(one.logits[rows], labels[rows]) - auc(other.logits[rows], labels[rows])

    ranks = midranks(one.logits), midranks(other.logits)
    return {
        "auc difference": as_json(bootstrap(difference, groups, samples=samples)),
        "p, permutation by group": permutation_test(auc, *ranks, labels, groups, samples=samples),
        "p, DeLong": _delong(one.logits, other.logits, labels),
        "McNemar": {
            name: asdict(mcnemar(_called(*first, name), _called(*second, name), labels))
            for name in ("one half", "sensitive point", "specific point")
        },
    }


def compare_folds(
    first: Mapping[str, ScoredExamples],
    second: Mapping[str, ScoredExamples],
    samples: int = BOOTSTRAP_SAMPLES,
) -> Json:
    """Two cross-validated models on the same folds."""
    (one, names), (other, _) = joined_folds(first), joined_folds(second)
    labels, groups = one.fractured, one.groups
    areas = [auc_within_folds(model.logits, labels, names) for model in (one, other)]
    within_fold = [_midranks_within(model, names) for model in (one, other)]

    def mean_area(scores: Scores, own: Labels) -> float:
        return auc_within_folds(scores, own, names)(np.arange(len(own)))

    called = [model.logits >= 0.0 for model in (one, other)]
    return {
        "auc difference": as_json(
            bootstrap(lambda rows: areas[0](rows) - areas[1](rows), groups, samples=samples)
        ),
        "p, permutation by group": permutation_test(
            mean_area, within_fold[0], within_fold[1], labels, groups, samples=samples
        ),
        "McNemar": {"one half": asdict(mcnemar(called[0], called[1], labels))},
    }


def metadata(data: LabelledFolder, seed: int, samples: int, report: Report) -> list[Json]:
    """What can be told of the labels without looking at bones."""
    tick = counting("reading radiographs for their metadata", len(data.examples), report)
    prints = fingerprint_readable(data.examples, tick)
    return [
        {"attributes": list(one.attributes), "estimate": as_json(one.estimate)}
        for one in metadata_aucs(data.examples, prints, seed, samples=samples)
    ]


def _delong(first: Scores, second: Scores, labels: Labels) -> float | None:
    """None where a label has fewer than two radiographs."""
    if min(np.count_nonzero(labels), np.count_nonzero(~labels)) < 2:
        return None
    return delong(first, second, labels).p


def _called(validation: ScoredExamples, test: ScoredExamples, point: str) -> Labels:
    points = operating_points(validation)
    thresholds = {
        "one half": 0.5,
        "sensitive point": points.sensitive,
        "specific point": points.specific,
    }
    called: Labels = test.probabilities >= thresholds[point]
    return called


def _midranks_within(model: ScoredExamples, names: Sequence[str]) -> Scores:
    """Folds' models have scales of their own; ranks within a fold are comparable."""
    fold_of, ranks = np.array(names), np.zeros(len(names))
    for name in np.unique(fold_of):
        ranks[fold_of == name] = midranks(model.logits[fold_of == name])
    return ranks


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
