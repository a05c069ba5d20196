"""`train` and `model show`: the classifier."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.console import Json, fail, out, print_json, progress_bar, settings_of
from worker.commands.model_options import AnyName, registry_if_there

model_app = typer.Typer(
    no_args_is_help=True, help="The classifier: import, compare, promote, roll back, shadow."
)


def train(
    data: Annotated[Path, typer.Option(help="Folder of labelled radiographs.")],
    weights: Annotated[
        Path, typer.Option(help="ImageNet weights of MobileNetV2 without its top (.weights.h5).")
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder of the run; goes on where it was stopped.")
    ],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "fracture-mobilenetv2",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the recipe's.")] = None,
) -> None:
    """Train a classifier and write it as a bundle with its model card.

    Example: `fracture-screen train --data fracatlas --weights mobilenetv2.weights.h5 --out run`
    """
    from worker.composition import quieten_tensorflow

    quieten_tensorflow()
    try:
        from worker import training_run
    except ImportError as error:
        fail(f"{error.name} is missing; install the training extra: fracture-screen[training]")
    with progress_bar() as progress:
        bundle = training_run.run(
            data, weights, out_folder, name, version, epochs=epochs, seed=seed, progress=progress
        )
    from worker import tables

    tables.print_card(out, bundle)


@model_app.command("show")
def model_show(
    context: typer.Context,
    name: AnyName = "champion",
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the model card.")] = False,
) -> None:
    """A model: identity, operating points, figures and limits. Without a name, the one in use.

    Examples: `fracture-screen model show`, `fracture-screen model show settings --markdown`
    """
    from worker import tables
    from worker.model_card import model_card
    from worker.model_updates.library import find_model

    settings = settings_of(context)
    bundle = find_model(name, settings, registry_if_there(settings)).load()
    if as_json:
        print_json({**bundle.card, "digest": bundle.identity.digest})
    elif markdown:
        sys.stdout.write(model_card(bundle))
    else:
        tables.print_card(out, bundle)
