"""`model engines` and `model onnx`: what runs a network here, and how fast."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, err, fail, out, print_json, progress_bar, settings_of
from worker.commands.model_options import AnyName, registry_if_there

BATCHES = (1, 4, 16)


def engines(
    context: typer.Context,
    name: AnyName = "champion",
    as_json: Json = False,
) -> None:
    """Measure every installed engine with a model: ms per radiograph, and which one is chosen.

    Measures wall time of the network alone on noise, in batches of 1, 4 and 16; nothing else should
    run meanwhile. `model.engine` in the settings names one; "auto" chooses.

    Examples: `fracture-screen model engines`, `fracture-screen model engines settings --json`
    """
    from models.engines.choice import ENGINES, installed_for, make_engine, milliseconds
    from worker.classifiers import MEASUREMENTS_FILE
    from worker.model_updates.library import find_model

    settings = settings_of(context)
    bundle = find_model(name, settings, registry_if_there(settings)).load()
    names = installed_for(bundle)
    measured: dict[str, dict[int, float]] = {}
    labels: dict[str, str] = {}
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=len(names) * len(BATCHES))
        for engine_name in names:
            engine = make_engine(bundle, engine_name).engine
            labels[engine_name] = engine.label
            measured[engine_name] = {}
            for batch in BATCHES:
                measured[engine_name][batch] = milliseconds(engine, bundle, batch)
                progress.advance(task)
        chosen = make_engine(
            bundle, settings.model.engine, settings.data_folder / MEASUREMENTS_FILE
        )
    missing = {key: kind.install for key, kind in ENGINES.items() if not kind.is_installed}
    if as_json:
        print_json(
            {
                "model": bundle.identity.label,
                "milliseconds_per_radiograph": measured,
                "labels": labels,
                "chosen": chosen.name,
                "reason": chosen.reason,
                "not_installed": sorted(missing),
            }
        )
        return
    table = Table("engine", *(f"batch {batch}, ms" for batch in BATCHES), "chosen")
    for engine_name, times in measured.items():
        cells = (f"{times[batch]:.1f}" for batch in BATCHES)
        table.add_row(labels[engine_name], *cells, "yes" if engine_name == chosen.name else "")
    out.print(table)
    out.print(f"{chosen.name}: {chosen.reason}", soft_wrap=True)
    for engine_name, install in missing.items():
        out.print(f"{engine_name} is not installed ({install})", markup=False, soft_wrap=True)


def onnx(
    source: Annotated[Path, typer.Argument(help="Folder of a bundle without network.onnx.")],
    out_folder: Annotated[Path, typer.Option("--out", help="New folder for the bundle.")],
    version: Annotated[
        str, typer.Option("--bundle-version", help="Version of the new bundle; its digest differs.")
    ],
) -> None:
    """Write a bundle again with network.onnx, so that it runs without TensorFlow.

    Weights, calibration and operating points stay; the ONNX network is held to what Keras says of
    drawn pictures. Needs the training extra.

    Example: `fracture-screen model onnx bundle-1.0 --out bundle-1.1 --bundle-version 1.1`
    """
    from worker.commands.model_options import require_training_extra

    require_training_extra("keras", "tensorflow", "tf2onnx")
    from models.keras_environment import quieten_tensorflow

    quieten_tensorflow()
    from models.bundle import load_bundle, save_bundle
    from training.onnx_export import export_network

    if out_folder.exists():
        fail(f"{out_folder} exists: name a new folder with --out")
    bundle = load_bundle(source)
    network = export_network(bundle)
    card = {**bundle.card, "version": version}
    save_bundle(out_folder, card, bundle.weights, bundle.scope, network, bundle.position)
    identity = load_bundle(out_folder).identity
    err.print(f"{identity.label} with network.onnx: {out_folder}, digest {identity.digest[:16]}…")
