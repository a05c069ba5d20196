"""`fracture-screen explanations`: saliency maps measured, and scored by readers."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, out, print_json, progress_bar, settings_of
from worker.commands.data import Data, LayoutName, read_labelled
from worker.commands.model_options import AnyNameOption, registry_if_there, require_training_extra

if TYPE_CHECKING:  # the commands import it: it needs the training extra
    from models.bundle import ModelBundle
    from training.data.example import Example, LabelledFolder
    from training.explanation.measure import Measured
    from training.statistics.intervals import Estimate

explanations_app = typer.Typer(
    no_args_is_help=True, help="Saliency maps: measured against boxes, scored by readers."
)

SplitFile = Annotated[
    Path | None,
    typer.Option("--split", help="Split file; only its part --part is used. None: all."),
]
Part = Annotated[str, typer.Option(help="Part of the split, such as test.")]


@explanations_app.command("measure")
def measure_maps(
    context: typer.Context,
    data: Data,
    out_folder: Annotated[Path, typer.Option("--out", help="New folder for figures and plots.")],
    split: SplitFile = None,
    part: Part = "test",
    layout: LayoutName = "auto",
    model: AnyNameOption = "champion",
    seed: Annotated[int, typer.Option(help="Of the samples and of the shuffled weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Pointing game, energy and IoU against fracture boxes; insertion and deletion; randomisation.

    Every figure stands beside what a map that knows nothing would get. Use radiographs that the
    model was not trained on: a split's test part.

    Example: `fracture-screen explanations measure --data fracatlas --split split.json --out maps`
    """
    require_training_extra("matplotlib")
    folder = read_labelled(data, layout)
    from training.explanation import measure
    from training.explanation.plots import plot_curves
    from training.split_file import read_part
    from worker.classifiers import make_classifier

    settings = settings_of(context)
    from worker.model_updates.library import find_model

    bundle = find_model(model, settings, registry_if_there(settings)).load()
    cases = measure.boxed(read_part(folder, split, part))
    out_folder.mkdir(parents=True)
    with progress_bar() as progress:
        task = progress.add_task("explaining", total=measure.steps(len(cases)))
        measured = measure.measure(
            bundle,
            cases,
            partial(make_classifier, settings),
            seed=seed,
            advance=lambda: progress.advance(task),
        )
    figures = measure.summary(measured)
    content = _as_json(bundle, folder, measured, figures)
    (out_folder / "metrics.json").write_text(json.dumps(content, indent=2) + "\n")
    _write_radiographs(out_folder / "radiographs.csv", folder, measured)
    plot_curves(out_folder / "curves.png", measured.faithfulness)
    if as_json:
        print_json(content)
    else:
        _print_figures(measured, figures)


@explanations_app.command("sheet")
def make_sheet(
    context: typer.Context,
    data: Data,
    out_folder: Annotated[Path, typer.Option("--out", help="New folder for form and pictures.")],
    split: SplitFile = None,
    part: Part = "test",
    layout: LayoutName = "auto",
    model: AnyNameOption = "champion",
    cases: Annotated[int, typer.Option(min=1, help="Radiographs, half of them fractured.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
) -> None:
    """Write the scoring form (CSV) with a picture per case: radiograph and map side by side.

    Example: `fracture-screen explanations sheet --data fracatlas --split split.json --out sheet`
    """
    folder = read_labelled(data, layout)
    from training.split_file import read_part
    from worker.classifiers import make_classifier
    from worker.scoring_pictures import write_cases

    settings = settings_of(context)
    from worker.model_updates.library import find_model

    bundle = find_model(model, settings, registry_if_there(settings)).load()
    examples = read_part(folder, split, part).examples
    out_folder.mkdir(parents=True)
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=None)
        written = write_cases(
            out_folder,
            make_classifier(settings, bundle),
            _drawn(examples, cases, seed),
            lambda: progress.advance(task),
        )
    out.print(f"{written} cases in {out_folder / 'sheet.csv'}; README.txt says how to fill it")


@explanations_app.command("score")
def score_sheets(
    sheets: Annotated[list[Path], typer.Argument(help="Filled copies of sheet.csv.")],
    as_json: Json = False,
) -> None:
    """Means of the filled sheets, by criterion and by kind of case, and how readers agree.

    Example: `fracture-screen explanations score reader-a.csv reader-b.csv`
    """
    require_training_extra()
    from training.explanation import scoring_sheet

    scores = scoring_sheet.read_sheets(sheets)
    groups, pairs = scoring_sheet.summarise(scores), scoring_sheet.agreements(scores)
    if as_json:
        print_json(scoring_sheet.as_json(groups, pairs))
        return
    means = Table("cases", "scores", *map(_words, scoring_sheet.CRITERIA), "mean", "acceptable")
    for group in groups:
        cells = [f"{value:.2f}" for value in (*group.criteria, group.mean)]
        means.add_row(group.name, str(group.scores), *cells, f"{group.acceptable:.0%}")
    out.print(means)
    agreement = Table("readers", "cases", *map(_words, scoring_sheet.CRITERIA), "ICC of means")
    for pair in pairs:
        cells = [f"{value:.2f}" for value in (*pair.kappas, pair.icc)]
        agreement.add_row(" and ".join(pair.readers), str(pair.cases), *cells)
    out.print(agreement if pairs else "One reader: no agreement to measure.")


def _drawn(examples: Sequence["Example"], count: int, seed: int) -> list["Example"]:
    """Half fractured and half not, as far as there are, in a random order."""
    import numpy as np

    random = np.random.default_rng(seed)
    drawn: list[Example] = []
    for fractured, wanted in ((True, (count + 1) // 2), (False, count // 2)):
        pool = [example for example in examples if example.fractured is fractured]
        drawn += [pool[index] for index in random.permutation(len(pool))[:wanted]]
    return [drawn[index] for index in random.permutation(len(drawn))]


def _as_json(
    bundle: "ModelBundle",
    folder: "LabelledFolder",
    measured: "Measured",
    figures: dict[str, "Estimate"],
) -> dict[str, object]:
    return {
        "model": bundle.identity.label,
        "digest": bundle.identity.digest,
        "data": folder.attribution,
        "radiographs": len(measured.explained),
        "flagged": sum(one.flagged for one in measured.explained),
        "curves_of": len(measured.faithfulness.of_maps),
        "figures": {
            name: {"value": one.value, "low": one.low, "high": one.high}
            for name, one in figures.items()
        },
        "rank_correlation_after_shuffling": {
            str(depth): value for depth, value in measured.correlations.items()
        },
    }


def _print_figures(measured: "Measured", figures: dict[str, "Estimate"]) -> None:
    table = Table("figure", "mean", "95 % interval, by group")
    for name, one in figures.items():
        table.add_row(name, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}")
    for depth, value in measured.correlations.items():
        table.add_row(f"rank correlation, weights shuffled: {depth}", f"{value:.3f}", "")
    out.print(table)
    flagged = sum(one.flagged for one in measured.explained)
    out.print(f"{len(measured.explained)} radiographs with boxes, {flagged} of them flagged")


def _write_radiographs(path: Path, folder: "LabelledFolder", measured: "Measured") -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("picture", "probability", "peak_in_box", "energy_in_box", "iou"))
        for one in measured.explained:
            found = one.localisation
            writer.writerow(
                (
                    folder.relative(one.example),
                    f"{one.probability:.4f}",
                    int(found.peak_in_box),
                    f"{found.energy_in_box:.4f}",
                    f"{found.iou:.4f}",
                )
            )


def _words(name: str) -> str:
    return name.replace("_", " ")
