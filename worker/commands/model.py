"""`train`, `cross-validate` and `model show`: the classifier."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from worker.commands.console import Json, fail, out, print_json, progress_bar, settings_of
from worker.commands.data import Data, LayoutName
from worker.commands.model_options import AnyName, registry_if_there

model_app = typer.Typer(
    no_args_is_help=True, help="The classifier: import, compare, promote, roll back, shadow."
)


RunFolder = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
RecipeName = Annotated[
    str | None,
    typer.Option(help="Preset or TOML file; default: the shipped model's, or the run's own."),
]
BackboneWeights = Annotated[
    Path | None,
    typer.Option(help="Pretrained backbone (.h5, .npz); without it the network is random."),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of decoded radiographs, for runs to share; default: the run's."),
]
BundleName = Annotated[
    str | None, typer.Option(help="Name of the bundle; default: fracture- and the network's.")
]
BundleVersion = Annotated[str, typer.Option(help="Version of the bundle.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")]
Seed = Annotated[int | None, typer.Option(help="Default: the recipe's.")]


def train(
    data: Data,
    out_folder: RunFolder,
    layout: LayoutName = "auto",
    split: Annotated[
        Path | None,
        typer.Option(help="Split file with train, validation and test; default: by the seed."),
    ] = None,
    recipe: RecipeName = None,
    weights: BackboneWeights = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out after its last epoch.")
    ] = False,
    cache: Cache = None,
    name: BundleName = None,
    version: BundleVersion = "0.1.0",
    epochs: Epochs = None,
    seed: Seed = None,
) -> None:
    """Train a classifier and write it as a bundle with its model card.

    Presets: fracture_mobilenetv2, fracture_map_mobilenetv2, paper_a_mobilenetv2,
    paper_a_resnet50v2, paper_b_raw, paper_b_balanced.

    Examples: `fracture-screen train --data fracatlas --weights mobilenetv2.weights.h5 --out run`,
    `fracture-screen train --data radiographs --split split.json --recipe my.toml --out run`
    """
    training_run = _training_run()
    request = training_run.Request(
        data, layout, split, recipe, epochs, seed, weights, out_folder, resume, cache, name, version
    )
    with progress_bar() as progress:
        bundle = training_run.run(request, progress)
    from worker import tables

    tables.print_card(out, bundle)


def cross_validate(
    data: Data,
    out_folder: RunFolder,
    layout: LayoutName = "auto",
    split: Annotated[
        Path | None,
        typer.Option(help="Split file of folds; default: 5 by the seed and what the data state."),
    ] = None,
    recipe: RecipeName = None,
    weights: BackboneWeights = None,
    only: Annotated[
        list[int] | None,
        typer.Option("--fold", help="Only this one, to share work out; may be repeated."),
    ] = None,
    cache: Cache = None,
    name: BundleName = None,
    version: BundleVersion = "0.1.0",
    epochs: Epochs = None,
    seed: Seed = None,
) -> None:
    """Hold out each fold once, then train on everything: a bundle with cross-validated figures.

    A fold's network never sees what it is measured on. The recipe must watch nothing (as
    fracture_map_mobilenetv2 does). Repeat the command to go on after a stop.

    The folds come from "data split" with five folds.

    Example: `fracture-screen cross-validate --data fracatlas --split folds.json --recipe
    fracture_map_mobilenetv2 --weights mobilenetv2.weights.h5 --out run`
    """
    training_run = _training_run()
    request = training_run.Request(
        data, layout, split, recipe, epochs, seed, weights, out_folder, True, cache, name, version
    )
    with progress_bar() as progress:
        found = training_run.cross_validate(request, only or (), progress)
    from worker import tables

    if isinstance(found, list):
        missing = ", ".join(map(str, found)) or "none: repeat without --fold for the bundle"
        out.print(f"folds still to do: {missing}")
    else:
        tables.print_card(out, found)


def _training_run() -> ModuleType:
    from models.keras_environment import quieten_tensorflow

    quieten_tensorflow()
    try:
        from worker import training_run
    except ImportError as error:
        fail(f"{error.name} is missing; install the training extra: fracture-screen[training]")
    return training_run


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
