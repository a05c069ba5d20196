"""`fracture-screen model drift`: whether live radiographs still look as they did."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, existing_database, out, print_json
from worker.commands.model_options import AnyName, open_models

if TYPE_CHECKING:
    from worker.model_updates.drift import DriftRow


def show_drift(
    context: typer.Context,
    name: AnyName = "champion",
    since: Annotated[
        datetime | None, typer.Option(help="Only what was screened from then on (UTC).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Whether live radiographs still look like those the model was made for, by device and region.

    Population stability index (below 0.1 stable, above 0.25 moved a lot) and Kolmogorov-Smirnov
    of probabilities, grey values and sizes against the bundle's reference; share flagged and not
    analysed. Where the bundle holds no reference, what lies before --since is taken.

    Example: `fracture-screen model drift --since 2026-01-01`
    """
    from db.measurements import Measurements
    from worker.model_updates.drift import drift, reference_from
    from worker.model_updates.library import find_model

    settings, registry = open_models(context)
    bundle = find_model(name, settings, registry).load()
    measurements, digest = Measurements(existing_database(context)), bundle.identity.digest
    start = None if since is None else since.replace(tzinfo=UTC)
    recent = measurements.of_model(digest, since=start)
    reference, origin = bundle.reference, "the bundle's reference"
    if not reference:
        earlier = [] if start is None else measurements.of_model(digest, until=start)
        reference = reference_from(earlier)
        origin = "what was screened before --since" if reference else "nothing"
    rows = drift(recent, reference)
    if as_json:
        listed = [{**asdict(row), "too_few": row.too_few} for row in rows]
        print_json({"model": bundle.identity.label, "reference": origin, "groups": listed})
    else:
        _print_drift(rows, bundle.identity.label, origin)


def _print_drift(rows: Sequence["DriftRow"], label: str, origin: str) -> None:
    from models.reference import MEASURES
    from worker.model_updates.drift import FEWEST

    out.print(f"{label}, compared with {origin}")
    if origin == "nothing":
        out.print(
            f"the bundle holds no reference: give --since with at least {FEWEST} analysed "
            "radiographs before it"
        )
    table = Table("by", "group", "n", "flagged", "not analysed", *MEASURES)
    for row in rows:
        flagged = "" if row.flagged_share is None else f"{row.flagged_share:.1%}"
        shifts = [_shift(row, measure) for measure in MEASURES]
        shares = (flagged, f"{row.not_analysed_share:.1%}")
        table.add_row(row.by, row.group, str(row.radiographs), *shares, *shifts)
    out.print(table)


def _shift(row: "DriftRow", measure: str) -> str:
    shift = row.shifts.get(measure)
    if shift is None:
        return ""
    word = "too few" if row.too_few else shift.word
    return f"{word} (PSI {shift.stability_index:.2f}, KS {shift.ks:.2f})"
