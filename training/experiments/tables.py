"""Markdown tables of what `measures` wrote: JSON in, text out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.scored import Json

Models = Mapping[str, Json]
"""Title → what `measures.measure` or `measures.measure_folds` found."""
UNDEFINED = "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, ending in a line feed."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def percent(estimate: Json) -> str:
    """81.2 % (76.0 to 85.9)."""
    if estimate["value"] is None:
        return UNDEFINED
    value, low, high = (100 * estimate[name] for name in ("value", "low", "high"))
    return _with_minus(f"{value:.1f} % ({low:.1f} to {high:.1f})")


def bare_percent(share: float, digits: int = 1) -> str:
    """81.2 %: without an interval."""
    return f"{100 * share:.{digits}f} %"


def decimal(estimate: Json) -> str:
    """0.812 (0.760 to 0.859)."""
    if estimate["value"] is None:
        return UNDEFINED
    return _with_minus(f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})")


def p_value(p: float | None) -> str:
    """Three digits, never "0.000"."""
    if p is None:
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def classification_report(model: Json) -> str:
    """Precision, recall and F1 of both classes at the probability one half, with their means."""
    at, counts = model["one half"], model["one half"]["confusion"]
    fractured = counts["true_positives"] + counts["false_negatives"]
    others = counts["true_negatives"] + counts["false_positives"]
    rows = [
        _class_row(
            "not fractured", at, ("negative_precision", "specificity", "negative_f1"), others
        ),
        _class_row("fractured", at, ("precision", "sensitivity", "f1"), fractured),
        ["macro mean", "", "", decimal(at["macro_f1"]), str(fractured + others)],
        ["accuracy", "", "", decimal(at["accuracy"]), str(fractured + others)],
    ]
    return table(["", "precision", "recall", "F1", "radiographs"], rows)


def operating_points_table(models: Models) -> str:
    """Sensitivity and specificity at the thresholds chosen on validation."""
    header = ["model", "point", "threshold", "sensitivity", "specificity"]
    rows = [
        [
            name,
            point,
            f"{model[point]['threshold']:.3f}",
            percent(model[point]["sensitivity"]),
            percent(model[point]["specificity"]),
        ]
        for name, model in models.items()
        for point in ("sensitive point", "specific point")
    ]
    return table(header, rows)


def calibration_table(models: Models) -> str:
    """Before and after calibration on validation."""
    header = ["model", "calibrated by", "scale", "offset", "Brier", "ECE, equal width"]
    rows = [
        [
            name,
            how,
            f"{found['scale']:.3f}",
            f"{found['offset']:.3f}",
            f"{found['brier']:.4f}",
            f"{found['ECE, equal width']:.4f}",
            f"{found['ECE, equal mass']:.4f}",
        ]
        for name, model in models.items()
        for how, found in model["calibration"].items()
    ]
    return table([*header, "ECE, equal mass"], rows)


def subgroups_table(models: Models) -> str:
    """AUC within regions, views and hardware, a column per model on the same radiographs."""
    header = ["", "radiographs", "fractured", "groups", *(f"AUC, {name}" for name in models)]
    first = next(iter(models.values()))
    rows = []
    for kind, lines in first["subgroups"].items():
        for at, line in enumerate(lines):
            cells = [_subgroup_cell(model["subgroups"][kind][at]) for model in models.values()]
            counts = [str(line[name]) for name in ("radiographs", "fractured", "groups")]
            rows.append([f"{kind}: {line['value']}", *counts, *cells])
    return table(header, rows)


def studies_table(models: Models) -> str:
    """AUC per study, or a line that says why there is none."""
    if any(model["studies"] is None for model in models.values()):
        return "The data state no studies, so views cannot be joined.\n"
    header = ["model", "views", "studies", "maximum", "mean", "noisy-or"]
    rows = [
        [
            name,
            str(model["studies"]["views"]),
            str(model["studies"]["studies"]),
            *(decimal(model["studies"][how]) for how in ("max", "mean", "noisy-or")),
        ]
        for name, model in models.items()
    ]
    return table(header, rows)


def comparisons_table(comparisons: Mapping[str, Json]) -> str:
    """Differences of AUC with their tests, and McNemar's at each operating point."""
    header = ["", "AUC difference", "p, permutation by group", "p, DeLong", "McNemar"]
    rows = [
        [
            name,
            decimal(found["auc difference"]),
            p_value(found["p, permutation by group"]),
            p_value(found.get("p, DeLong")),
            "; ".join(_mcnemar(point, one) for point, one in found["McNemar"].items()),
        ]
        for name, found in comparisons.items()
    ]
    return table(header, rows)


def metadata_table(lines: Sequence[Mapping[str, Any]]) -> str:  # Any: JSON
    """What can be told without looking at bones."""
    rows = [[_attributes(line["attributes"], lines), decimal(line["estimate"])] for line in lines]
    return table(["attributes", "AUC"], rows)


_OF_OTHERS = ("negative_precision", "specificity", "negative_f1")
_OF_FRACTURED = ("precision", "sensitivity", "f1")


def _with_minus(text: str) -> str:
    return text.replace("-", "−")


def _class_row(name: str, at: Json, figures: Sequence[str], count: int) -> list[str]:
    return [name, *(decimal(at[figure]) for figure in figures), str(count)]


def _subgroup_cell(line: Json) -> str:
    return decimal(line["estimate"]) if line["estimate"] else str(line["remark"])


def _mcnemar(point: str, found: Json) -> str:
    first, second = found["only_first"], found["only_second"]
    return f"{point}: {first} against {second}, p {p_value(found['p'])}"


def _attributes(names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:  # Any: JSON
    everything = set(lines[0]["attributes"])
    if set(names) == everything:
        return "all"
    missing = everything - set(names)
    return "all but hardware" if missing == {"hardware"} else ", ".join(names)
