"""What commands print: tables for people, plain values for --json."""

from typing import Any

from rich.console import Console
from rich.table import Table

from db.outcomes import percent
from models.bundle import ModelBundle
from worker.model_card import figure_rows, part_names, region_points

Json = dict[str, Any]
"""Any: JSON values."""


def print_card(console: Console, bundle: ModelBundle) -> None:
    """Identity, operating points, figures with intervals, limits."""
    model, points = bundle.identity, bundle.operating_points
    console.print(f"{model.name} {model.version}  digest {model.digest[:16]}…")
    console.print(
        f"fracture possible at ≥ {percent(points.sensitive)}, "
        f"likely at ≥ {percent(points.specific)}"
    )
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
