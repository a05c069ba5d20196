"""`fracture-screen data`: checks labelled radiographs, parts them, and measures shortcuts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, out, print_json, progress_bar
from worker.commands.model_options import require_training_extra

if TYPE_CHECKING:  # the commands import it: it needs the training extra
    from training.controls import MetadataAuc
    from training.data.check import CheckResult, Count
    from training.data.example import LabelledFolder
    from training.splits import Plan, Split

data_app = typer.Typer(no_args_is_help=True, help="Labelled radiographs: check, split, shortcuts.")

SHOWN = 20
"""Findings of one kind printed for people; --json has all."""

Data = Annotated[Path, typer.Option("--data", help="Folder of labelled radiographs.")]
LayoutName = Annotated[
    str, typer.Option("--layout", help="auto, or fracatlas, mura, dicom, csv, classes.")
]
Seed = Annotated[int, typer.Option(help="Another seed parts otherwise.")]


@data_app.command("check")
def check_data(
    data: Data,
    layout: LayoutName = "auto",
    split: Annotated[
        Path | None, typer.Option(help="Split file to look for leaks in; verified in full.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find broken files, duplicates, contradicting labels and leaks; count what there is.

    Exit code 1 if a file is broken, or if a patient, another group or a duplicate is in two parts.

    Examples: `fracture-screen data check --data radiographs`,
    `fracture-screen data check --data radiographs --split split.json --json`
    """
    folder = read_labelled(data, layout)
    from training.data.check import check
    from training.split_file import load_split

    part_of = None if split is None else load_split(split, folder).part_of
    with _progress("reading radiographs", len(folder.examples)) as advance:
        result = check(folder, part_of, advance)
    if as_json:
        print_json(result.as_json())
    else:
        _print_check(result)
    raise typer.Exit(0 if result.is_sound else 1)


@data_app.command("split")
def split_data(
    data: Data,
    out_file: Annotated[Path, typer.Option("--out", help="Split file to write; must not exist.")],
    layout: LayoutName = "auto",
    shares: Annotated[
        str | None,
        typer.Option(help="train/test or train/validation/test, such as 80/20 or 72/18/10."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Equal parts for cross-validation instead.")
    ] = None,
    seed: Seed = 1,
    by_region: Annotated[
        bool, typer.Option("--by-region/--by-label", help="Keep regions alike too, or labels only.")
    ] = True,
    find_duplicates: Annotated[
        bool,
        typer.Option(
            "--find-duplicates/--stated-groups",
            help="Also keep look-alikes together, or only what the data set states.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Part the data: no patient, id block or duplicate in two parts, fracture rates alike.

    Examples: `fracture-screen data split --data radiographs --shares 72/18/10 --out split.json`,
    `fracture-screen data split --data radiographs --folds 5 --out folds.json`
    """
    folder = read_labelled(data, layout)
    from training.split_file import save_split
    from training.splits import make_split

    plan = _plan(shares, folds, seed, by_region=by_region)
    grouped = _with_duplicates(folder) if find_duplicates else folder
    split = make_split(grouped.examples, plan)
    save_split(out_file, grouped, split, plan)
    _tell_split(grouped, split, out_file, as_json)


@data_app.command("confounds")
def confounds(
    data: Data, layout: LayoutName = "auto", seed: Seed = 1, as_json: Json = False
) -> None:
    """Measure what labels can be told without looking at bones: AUC of attributes alone.

    Region, view, hardware, image and file size, aspect and mean grey value, by logistic regression
    with grouped cross-validation. A network has to beat this clearly.

    Example: `fracture-screen data confounds --data radiographs`
    """
    folder = read_labelled(data, layout)
    from training.controls import metadata_aucs
    from training.data.fingerprints import fingerprint_readable

    with _progress("reading radiographs", len(folder.examples)) as advance:
        fingerprints = fingerprint_readable(folder.examples, advance)
    results = metadata_aucs(folder.examples, fingerprints, seed)
    if as_json:
        print_json([_auc_as_json(one) for one in results])
        return
    table = Table("attributes", "AUC", "95 % interval, by group")
    for one in results:
        estimate = one.estimate
        interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
        table.add_row(", ".join(one.attributes), f"{estimate.value:.3f}", interval)
    out.print(table)


def read_labelled(data: Path, layout: str) -> "LabelledFolder":
    """What --data and --layout name.

    Raises:
        ExtraMissing: the training extra is not installed.
    """
    require_training_extra()
    from training.data.layouts import read_labelled_folder

    return read_labelled_folder(data, layout)


def _plan(shares: str | None, folds: int | None, seed: int, *, by_region: bool) -> "Plan":
    from training.splits import Stratum, folds_plan, shares_plan

    strata = tuple(Stratum) if by_region else (Stratum.LABEL,)
    if (shares is None) == (folds is None):
        raise typer.BadParameter("give --shares or --folds, and not both")
    if folds is not None:
        return folds_plan(folds, seed, strata)
    try:
        numbers = [float(share) for share in (shares or "").split("/")]
    except ValueError:
        raise typer.BadParameter(f"--shares {shares} is not like 72/18/10") from None
    return shares_plan(numbers, seed, strata)


def _with_duplicates(folder: "LabelledFolder") -> "LabelledFolder":
    from dataclasses import replace

    from training.data.check import Duplicates
    from training.data.fingerprints import fingerprint_readable

    with _progress("reading radiographs", len(folder.examples)) as advance:
        duplicates = Duplicates.among(fingerprint_readable(folder.examples, advance))
    return replace(folder, examples=tuple(duplicates.joined(folder.examples)))


def _tell_split(folder: "LabelledFolder", split: "Split", path: Path, as_json: bool) -> None:
    parts = []
    for part in split.parts:
        rows = split.rows(part)
        fractured = sum(folder.examples[row].fractured for row in rows)
        groups = len({split.groups[row] for row in rows})
        parts.append(
            {"part": part, "radiographs": len(rows), "fractured": fractured, "groups": groups}
        )
    if as_json:
        print_json({"split": str(path), "digest": split.digest, "parts": parts})
        return
    table = Table("part", "radiographs", "fractured", "groups")
    for one in parts:
        table.add_row(*(str(value) for value in one.values()))
    out.print(table)
    out.print(f"written to {path}", markup=False, soft_wrap=True)


def _print_check(result: "CheckResult") -> None:
    for what, counts in (
        ("region", result.regions),
        ("view", result.views),
        ("hardware", result.hardware),
    ):
        _print_counts(what, counts)
    summary = Table("finding", "number")
    for name, number in (
        ("radiographs", result.radiographs),
        ("fractured", result.fractured),
        ("without patient or other group", result.without_group),
        ("broken files", len(result.broken)),
        ("sets of equal pixels", len(result.exact)),
        ("pairs of look-alikes", len(result.near)),
        ("of both with contradicting labels", len(result.contradictions)),
        (f"leaks between parts (from {result.parts})", len(result.leaks)),
    ):
        summary.add_row(name, str(number))
    out.print(summary)
    _print_findings("broken", [one.reason for one in result.broken])
    _print_findings("contradicting labels", [", ".join(one) for one in result.contradictions])
    leaks = [
        f"{one.what} in {', '.join(one.parts)}: {', '.join(one.paths)}" for one in result.leaks
    ]
    _print_findings("leak", leaks)


def _print_counts(what: str, counts: "Sequence[Count]") -> None:
    table = Table(what, "radiographs", "fractured", "share")
    for one in counts:
        share = f"{one.fractured / one.radiographs:.0%}"
        table.add_row(one.value, str(one.radiographs), str(one.fractured), share)
    out.print(table)


def _print_findings(what: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        out.print(f"{what}: {line}", markup=False, soft_wrap=True)
    if len(lines) > SHOWN:
        out.print(f"{what}: and {len(lines) - SHOWN} more; --json lists all")


def _auc_as_json(result: "MetadataAuc") -> dict[str, object]:
    estimate = result.estimate
    return {
        "attributes": result.attributes,
        "auc": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
    }


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    with progress_bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
