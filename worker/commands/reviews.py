"""`fracture-screen reviews`: readers' judgements in, a labelled set for training out."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.console import Json, existing_database, out, print_json, settings_of
from worker.model_updates.actor import present_actor

reviews_app = typer.Typer(
    no_args_is_help=True, help="What readers say of our results, for the next training."
)


@reviews_app.command("import")
def import_reviews(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            help="CSV: sop_instance_uid, outcome (agree, disagree, elsewhere, bad heatmap), "
            "fractured (yes, no or empty), reader, reviewed_at; box_left, box_top, box_width, "
            "box_height if known."
        ),
    ],
) -> None:
    """Enter reviews, all or none. A later one supersedes; the same table twice does no harm.

    Example: `fracture-screen reviews import reviews.csv`
    """
    from db.reviews import Reviews
    from worker.database import utc_now
    from worker.reviews.table import read_reviews

    engine = existing_database(context)
    found = read_reviews(path)
    new = Reviews(engine, utc_now).record(found)
    out.print(f"{new} new of {len(found)} reviews")


@reviews_app.command("export")
def export(
    context: typer.Context,
    out_folder: Annotated[Path, typer.Option("--out", help="A new folder.")],
    blank_corners: Annotated[
        float,
        typer.Option(
            min=0, max=0.5, help="Side of the blanked corners, as a share of the shorter side."
        ),
    ] = 0.1,
    as_json: Json = False,
) -> None:
    """Write reviewed radiographs as a labelled set for the command train.

    Without patient data as far as that can be done by itself: README.txt in the folder says what
    was removed and what was not. Look at every picture before the folder leaves the house.

    Example: `fracture-screen reviews export --out labelled`
    """
    from db.registry import ModelRegistry
    from db.reviews import Reviews
    from worker.composition import make_reader, pixel_limits
    from worker.database import utc_now
    from worker.reviews.export import export_reviews, salt_in

    settings = settings_of(context)
    engine = existing_database(context)
    with make_reader(settings) as reader:
        exported = export_reviews(
            Reviews(engine, utc_now).in_force(),
            out_folder,
            data_folder=settings.data_folder,
            salt=salt_in(settings.data_folder),
            read=reader.read,
            limits=pixel_limits(settings),
            blank=blank_corners,
        )
    told = {**asdict(exported), "blank_corners": blank_corners, "out": str(out_folder.resolve())}
    ModelRegistry(engine, utc_now).note(present_actor(), "reviews export", "reviews", told)
    if as_json:
        print_json(told)
        return
    out.print(f"{exported.written} radiographs in {out_folder}", markup=False, soft_wrap=True)
    for reason, count in exported.left_out.items():
        out.print(f"{count} left out: {reason}", markup=False)
