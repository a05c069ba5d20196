"""What commands print: tables for people, plain values for --json."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.bundle import ModelBundle
from worker.demo import DemoResult
from worker.model_card import figure_rows, part_names, region_points

Json = dict[str, Any]
"""Any: JSON values."""


def print_demo(console: Console, result: DemoResult, folder: Path) -> None:
    """Study → outcome → probability → result files."""
    table = Table("study", "outcome", "probability", "results in the PACS", "reason")
    for study in result.studies:
        table.add_row(
            _short(study.study_instance_uid),
            study.outcome or "none",
            _probability(study.probability),
            str(len(study.results)),
            study.reason,
        )
    console.print(table)
    for line in result.not_sent:
        console.print(f"not part of a study: {line}", markup=False)
    console.print(
        f"{len(result.studies)} studies in {result.seconds} s with {result.model}. "
        f"Heatmaps (.png) and reports (.pdf): {folder.resolve() / 'pacs' / 'received'}",
        markup=False,
        soft_wrap=True,
    )


def print_card(console: Console, bundle: ModelBundle) -> None:
    """Identity, operating points, figures with intervals, limits."""
    model, points = bundle.identity, bundle.operating_points
    console.print(f"{model.name} {model.version}  digest {model.digest[:16]}…")
    console.print(f"suspicious at ≥ {points.sensitive:.3f}, definite at ≥ {points.specific:.3f}")
    for line in region_points(bundle):
        console.print(line)
    metrics = bundle.card["metrics"]
    table = Table("figures (95 % interval)", *part_names(metrics))
    for row in figure_rows(metrics):
        table.add_row(*row)
    console.print(table)
    if bundle.network is None:
        console.print(
            "No network.onnx: only TensorFlow runs this bundle. `fracture-screen model onnx` adds "
            "the file."
        )
    for limit in bundle.limits:
        console.print(f"- {limit}", markup=False)


def _probability(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.3f}"


def _short(uid: str) -> str:
    return uid if len(uid) <= 24 else f"{uid[:10]}…{uid[-12:]}"
