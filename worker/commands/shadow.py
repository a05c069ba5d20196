"""`fracture-screen model shadow` and `agreement`: a candidate beside the champion."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.commands.console import Json, err, existing_database, out, print_json
from worker.commands.model_options import Name, Reason, open_models, require_training_extra, say
from worker.errors import NothingToDo
from worker.model_updates.actor import present_actor

if TYPE_CHECKING:  # a command imports what it uses when it runs
    from db.registry import ModelRecord, ModelRegistry
    from db.shadow_scores import ShadowPair
    from dicom_node.bounded_reader import BoundedReader
    from worker.model_updates.agreement import Agreement
    from worker.screening import Screener
    from worker.settings import Settings

_HEADINGS = ("below", "possible", "likely")


def shadow(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="As `model list` shows it; none with --stop.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the present shadow.")] = False,
    reason: Reason = "",
) -> None:
    """Let a candidate score live studies beside the champion; nothing of it is delivered.

    Examples: `fracture-screen model shadow net-2.0`, `fracture-screen model shadow --stop`
    """
    if stop == (name is not None):
        raise NothingToDo("name a model, or give --stop")
    from worker.model_updates.library import find_imported

    settings, registry = open_models(context)
    if name is not None:
        record = find_imported(name, settings, registry)
        say(registry.start_shadow(record.digest, present_actor(), {"reason": reason}))
        return
    stopped = registry.stop_shadow(present_actor(), {"reason": reason})
    if stopped is None:
        raise NothingToDo("no model is the shadow")
    say(stopped)


def show_agreement(
    context: typer.Context,
    name: Name,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for scores.csv, scatter.png and disagreements/."),
    ] = None,
    count: Annotated[
        int, typer.Option("--worst", min=0, help="Disagreements to draw, the worst first.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """How a shadow agrees with the champion: kappa, McNemar, correlation, who flags what.

    With --out also the scores, a scatter plot and the worst disagreements as pictures, which are
    patients' radiographs.

    Example: `fracture-screen model agreement net-2.0 --out agreement`
    """
    require_training_extra("sklearn", "scipy", *(() if out_folder is None else ("matplotlib",)))
    from db.shadow_scores import ShadowScores
    from worker.database import utc_now
    from worker.model_updates.agreement import agreement
    from worker.model_updates.library import find_imported

    settings, registry = open_models(context)
    record = find_imported(name, settings, registry)
    scores = ShadowScores(existing_database(context), utc_now)
    pairs = scores.pairs(record.model_id)
    found = agreement(pairs, scores.coverage(record.model_id))
    if found is None:
        raise NothingToDo(f"{record.label} has scored nothing yet: start it with `model shadow`")
    if out_folder is not None:
        _write(pairs, out_folder, count, record, settings, registry)
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found, record.label)


def _write(
    pairs: list["ShadowPair"],
    out_folder: Path,
    count: int,
    record: "ModelRecord",
    settings: "Settings",
    registry: "ModelRegistry",
) -> None:
    from worker.composition import make_reader
    from worker.model_updates.agreement import (
        SCATTER_FILE,
        SCORES_FILE,
        worst,
        write_scatter,
        write_scores,
    )
    from worker.model_updates.disagreements import FOLDER, write_disagreements

    out_folder.mkdir(parents=True, exist_ok=True)
    write_scores(pairs, out_folder / SCORES_FILE)
    write_scatter(pairs, out_folder / SCATTER_FILE, record.label)
    with make_reader(settings) as reader:
        missing = write_disagreements(
            worst(pairs, count),
            out_folder / FOLDER,
            settings.data_folder,
            _screeners(settings, registry, reader),
            record.digest,
        )
    if missing:
        err.print(f"{missing} disagreements have no picture: index.json says why")


def _print(found: "Agreement", label: str) -> None:
    out.print(
        f"{label}: {found.radiographs} radiographs of {found.studies} studies; "
        f"{found.concluded_studies} studies were concluded meanwhile"
    )
    if found.too_few:
        out.print("too few radiographs: the figures say little")
    table = Table("champion \\ shadow", *_HEADINGS)
    for heading, row in zip(_HEADINGS, found.table, strict=True):
        table.add_row(heading, *(str(one) for one in row))
    out.print(table)
    out.print(f"kappa {found.kappa:.3f}, of flagged or not {found.kappa_flagged:.3f}")
    out.print(
        f"flagged by the champion alone {found.champion_alone}, by the shadow alone "
        f"{found.shadow_alone}: McNemar p = {found.mcnemar_p:.3g}"
    )
    out.print(
        f"correlation {found.correlation:.3f}, mean difference {found.mean_difference:+.3f} "
        "(shadow minus champion)"
    )


def _as_json(found: "Agreement") -> dict[str, Any]:  # Any: JSON, which knows no nan
    values = {**asdict(found), "too_few": found.too_few}
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def _screeners(
    settings: "Settings", registry: "ModelRegistry", reader: "BoundedReader"
) -> Callable[[str], "Screener | None"]:
    """A screener per model digest, loaded once; None where no model of that digest is there."""
    from models.bundle import load_bundle
    from worker.classifiers import make_classifier
    from worker.composition import screener_of
    from worker.model_updates.library import find_model

    @cache
    def screener(digest: str) -> "Screener | None":
        try:
            bundle = find_model(digest, settings, registry).load()
        except NothingToDo:
            bundle = load_bundle(settings.model.bundle)
            if bundle.identity.digest != digest:
                return None
        return screener_of(make_classifier(settings, bundle), settings, reader)

    return screener
