"""`screen` and `demo`: files in, results out, nothing that stays running."""

import logging
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.console import Json, out, print_json, progress_bar, settings_of


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="DICOM, PNG or JPEG files to send; none: synthetic phantoms."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where all files are left; default: a new folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch studies travel: C-STORE in, classifier and Grad-CAM++, heatmaps and reports back.

    Starts everything on free loopback ports with a stand-in PACS, and stops it again. Exit code 1
    if any study lacks its outcome or its results.

    Examples: `fracture-screen demo`, `fracture-screen demo radiographs/ --json`
    """
    from worker import demo as demo_module
    from worker import tables

    target = out_folder or Path(tempfile.mkdtemp(prefix="fracture-screen-demo-"))
    with progress_bar() as progress:
        task = progress.add_task("starting", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        result = demo_module.run_demo(folder, target, on_progress)
    if as_json:
        print_json(demo_module.as_json(result))
    else:
        tables.print_demo(out, result, target)
    complete = result.studies and all(study.complete for study in result.studies)
    raise typer.Exit(0 if complete else 1)


def screen(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files or folders: DICOM, PNG, JPEG.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    objects: Annotated[
        bool,
        typer.Option(
            "--objects/--no-objects", help="Write heatmaps and reports as DICOM objects too."
        ),
    ] = True,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Write them as PNG and PDF too, named after the input files (not with "
            "--no-objects).",
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run in --out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Screen files without any network: the same pipeline, results in a folder.

    Writes results.csv, one line per image: outcome and probability are the image's own; the peak of
    the saliency map is in pixels of the source; `results` names the files written for the image. A
    file that cannot be read is a line with its reason. Exit code 1 if every file failed, 2 if --out
    already holds results.

    Examples: `fracture-screen screen study/ --out results`,
    `fracture-screen screen a.png b.dcm --out results --no-objects`
    """
    from worker.composition import make_screener, utc_now
    from worker.logs import configure_logging
    from worker.offline import Output, find_files, prepare_output, screen_files
    from worker.screen_summary import all_failed, print_screen, screen_summary

    settings = settings_of(context)
    configure_logging("screen", sys.stderr, level=logging.WARNING)
    files = find_files(paths, leave_out=out_folder)
    prepare_output(out_folder, overwrite=overwrite)
    with progress_bar() as progress:
        task = progress.add_task("loading the model", total=len(files))
        screener = make_screener(settings)
        progress.update(task, description="screening")
        rows = screen_files(
            files,
            screener,
            Output(out_folder, objects, objects and pictures),
            clock=utc_now,
            on_file=lambda: progress.advance(task),
        )
    if as_json:
        print_json(screen_summary(rows, out_folder))
    else:
        print_screen(out, rows, out_folder)
    raise typer.Exit(1 if all_failed(rows) else 0)
