"""`model refit`: scope and position head of a bundle, fitted anew while its network stays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.commands.console import Json, err, fail, out, print_json, progress_bar, settings_of
from worker.commands.data import LayoutName, read_labelled
from worker.commands.model_options import require_training_extra

if TYPE_CHECKING:  # the command imports it: it needs the training extra
    from training.refit import Figures

_SCOPE = "outside the scope"


def refit_bundle(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    data: Annotated[
        Path, typer.Option(help="Folder of labelled radiographs that its network learned from.")
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="New folder for the bundle.")],
    version: Annotated[
        str, typer.Option("--bundle-version", help="Version of the new bundle; its digest differs.")
    ],
    others: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of pictures of other parts of the body, of one source; may be repeated."
        ),
    ] = None,
    layout: LayoutName = "auto",
    seed: Annotated[int, typer.Option(help="Another seed varies radiographs otherwise.")] = 0,
    as_json: Json = False,
) -> None:
    """Fit anew which pictures a bundle is for, and which radiographs lie on their side.

    Weights, calibration and operating points stay. Every radiograph is seen in four positions, in
    varied and in heavily processed copies; figures are of groups that each fit left out, and stand
    in the new bundle's card. Takes about 0.15 s per radiograph and core.

    Example: `fracture-screen model refit bundle-0.2 --data fracatlas --out bundle-0.3
    --bundle-version 0.3.0`
    """
    require_training_extra()
    import numpy as np

    from models.bundle import load_bundle, save_bundle
    from models.engines.choice import make_engine
    from training.refit import refit, show, show_drawn, show_others
    from training.splits import connected_groups
    from worker.classifiers import MEASUREMENTS_FILE

    if out_folder.exists():
        fail(f"{out_folder} exists: name a new folder with --out")
    bundle = load_bundle(source)
    examples = read_labelled(data, layout).examples
    settings = settings_of(context)
    measurements = settings.data_folder / MEASUREMENTS_FILE
    engine = make_engine(bundle, settings.model.engine, measurements).engine
    with progress_bar() as progress:
        task = progress.add_task("radiographs", total=len(examples))
        shown = show(bundle, engine, examples, seed, lambda: progress.advance(task))
    fractured = np.array([example.fractured for example in examples])
    groups = [int(one) for one in connected_groups(examples)]
    sources = {
        folder.name: show_others(bundle, engine, sorted(folder.iterdir()), seed)
        for folder in others or []
    }
    sources["drawn pictures"] = show_drawn(bundle, engine, seed)
    found = refit(bundle, shown, fractured, groups, sources)
    figures = _as_json(found.figures)
    card = {
        **bundle.card,
        "version": version,
        "scope": bundle.card["scope"]
        | {"rejected": {"groups left out": figures[_SCOPE]["upright"]["all"]}},
        "position": figures,
    }
    save_bundle(out_folder, card, bundle.weights, found.scope, bundle.network, found.position)
    identity = load_bundle(out_folder).identity
    if as_json:
        print_json({"model": identity.label, "digest": identity.digest, "figures": figures})
        return
    _print(found.figures)
    err.print(f"{identity.label}: {out_folder}, digest {identity.digest[:16]}…")


def _as_json(figures: "Figures") -> dict[str, Any]:  # Any: JSON
    return {
        measure: {
            turn: {
                group: {"value": one.value, "low": one.low, "high": one.high}
                for group, one in groups.items()
            }
            for turn, groups in turns.items()
        }
        for measure, turns in figures.items()
    }


def _print(figures: "Figures") -> None:
    table = Table("measure", "turned by, or look", "radiographs", "share", "95 % interval")
    for measure, turns in figures.items():
        for turn, groups in turns.items():
            for group, one in groups.items():
                interval = f"{one.low:.3f} to {one.high:.3f}"
                table.add_row(measure, turn, group, f"{one.value:.3f}", interval)
    out.print(table)
