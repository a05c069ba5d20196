"""`fracture-screen experiment`: two papers' protocols, repeated on data of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import out, progress_bar
from worker.commands.data import Data, LayoutName, read_labelled
from worker.commands.model_options import require_training_extra

if TYPE_CHECKING:  # the commands import it: it needs the training extra
    from training.data.example import LabelledFolder
    from training.experiments.paper_a import Experiment

experiment_app = typer.Typer(
    no_args_is_help=True, help="Two papers' protocols, with a report beside the papers' figures."
)

Out = Annotated[
    Path, typer.Option("--out", help="Folder of the experiment; the same again goes on with it.")
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of decoded radiographs and features, to share; default: --out's."),
]
Seed = Annotated[int, typer.Option(help="Of splits, search and drawn panels.")]


@experiment_app.command("paper-a")
def paper_a(
    data: Data,
    out_folder: Out,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Pretrained backbone as mobilenet_v2=FILE or resnet50_v2=FILE; give both. "
            "A network without one starts random."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Do this run only: mobilenetv2, mobilenetv2-random-split, mobilenetv2-frozen-bn "
            "or resnet50v2; may be repeated."
        ),
    ] = None,
    layout: LayoutName = "auto",
    cache: Cache = None,
    seed: Seed = 7,
) -> None:
    """MobileNetV2 against ResNet50V2, all layers learning, and what a random split would show.

    Salman and Abu-Naser's protocol. Takes hours without a GPU: stop it at any time, the same
    command goes on after the last finished epoch. README.md in --out is the report of what is done.

    Examples: `fracture-screen experiment paper-a --data fracatlas --out paper-a
    --weights mobilenet_v2=mobilenetv2.weights.h5 --weights resnet50_v2=resnet50v2.npz`,
    the same with `--only mobilenetv2` for that run alone.
    """
    folder = _ready(data, layout)
    from training.experiments.paper_a import PaperA, run
    from training.experiments.report_a import write_report
    from worker.training_run import shown

    settings = PaperA(
        data=folder,
        out=out_folder,
        cache=cache or out_folder / "cache",
        weights=_by_network(weights or [], ("mobilenet_v2", "resnet50_v2")),
        seed=seed,
    )

    def finished(experiment: "Experiment") -> None:
        write_report(experiment)
        out.print(f"{len(experiment.done)} of {len(settings.runs)} runs are done", markup=False)

    with progress_bar() as progress:
        run(settings, shown(progress), finished, only or [])
    _tell(out_folder)


@experiment_app.command("paper-b")
def paper_b(
    data: Data,
    out_folder: Out,
    weights: Annotated[
        Path | None,
        typer.Option(help="Pretrained ResNet101V2 (.h5, .npz); without it the backbone is random."),
    ] = None,
    region: Annotated[
        str, typer.Option(help="Body part beside all regions; empty for all regions only.")
    ] = "hand",
    copies: Annotated[
        int,
        typer.Option(min=1, help="Augmented copies of each training radiograph to compute."),
    ] = 4,
    trials: Annotated[int, typer.Option(min=1, help="Of the Bayesian search.")] = 10,
    folds: Annotated[int, typer.Option(min=3, help="Of the cross-validation.")] = 5,
    layout: LayoutName = "auto",
    cache: Cache = None,
    seed: Seed = 7,
) -> None:
    """ResNet101V2, frozen: its head trained raw, balanced, and balanced and tuned.

    Alabi et al.'s protocol, on one region and on all, with cross-validation and controls. The
    backbone's features are computed once, the heads then train in seconds. Stop it at any time, the
    same command goes on. README.md in --out is the report.

    Examples: `fracture-screen experiment paper-b --data fracatlas --weights resnet101v2.npz
    --out paper-b`, `fracture-screen experiment paper-b --data mura --region hand --copies 10
    --out paper-b`
    """
    folder = _ready(data, layout)
    from training.experiments.paper_b import PaperB, run
    from training.experiments.report_b import write_report
    from worker.training_run import shown

    settings = PaperB(
        data=folder,
        out=out_folder,
        cache=cache or out_folder / "cache",
        weights=weights,
        region=region,
        copies=copies,
        trials=trials,
        folds=folds,
        seed=seed,
    )
    with progress_bar() as progress:
        run(settings, shown(progress), write_report)
    _tell(out_folder)


def _ready(data: Path, layout: str) -> "LabelledFolder":
    require_training_extra("matplotlib", "keras_tuner", "scipy", "sklearn")
    folder = read_labelled(data, layout)
    from models.keras_environment import quieten_tensorflow

    quieten_tensorflow()
    return folder


def _by_network(named: list[str], networks: tuple[str, ...]) -> dict[str, Path | None]:
    """What `--weights name=file` says, None for networks without a file."""
    files: dict[str, Path | None] = dict.fromkeys(networks)
    for one in named:
        name, _, file = one.partition("=")
        if name not in networks or not file:
            raise typer.BadParameter(
                f"--weights {one} is not like {networks[0]}=FILE; networks: {', '.join(networks)}"
            )
        files[name] = Path(file)
    return files


def _tell(folder: Path) -> None:
    out.print(f"report: {folder / 'README.md'}", markup=False, soft_wrap=True)
