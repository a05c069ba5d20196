"""`screen`: files in, results out, nothing that stays running."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.console import Json, out, print_json, progress_bar, settings_of


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
    file that cannot be read is a line with its reason; one that is no image (a DICOMDIR, a text) is
    SKIPPED. Exit code 1 if no file could be screened, 2 if --out already holds results.

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
