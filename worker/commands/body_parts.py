"""`fracture-screen body-parts`: how the words for body parts are understood."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, err, existing_database, out, print_json, settings_of

if TYPE_CHECKING:
    from worker.body_part_words import Understanding


def body_parts(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of DICOM files, or one file. Default: the radiographs of the ledger.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """How the words for body parts are understood, and which are unknown.

    For each value of Body Part Examined: how many radiographs state it, the region that it names,
    and whether they are analysed or left out. Of a folder all of each header is read, descriptions
    and codes too; of the ledger only the value itself. A radiograph is left out only where its
    header surely names something else than a limb. An unknown word can be entered in the
    settings, table \\[body_parts]. Shows no patient data.

    Exit code: 0 if every word is known, 1 if one is unknown, 2 if nothing could be read.

    Examples: `fracture-screen --config settings.toml body-parts`,
    `fracture-screen body-parts radiographs --json`
    """
    from db.radiograph_counts import RadiographCounts
    from worker.body_part_words import understand_counted, understand_files
    from worker.offline import find_files

    words = settings_of(context).body_parts
    if folder is None:
        counts = RadiographCounts(existing_database(context)).by_body_part()
        found = understand_counted(counts, words)
    else:
        found = understand_files(find_files([folder]), words)
    if as_json:
        print_json(
            {
                "words": [asdict(word) for word in found.words],
                "unknown": found.unknown,
                "skipped_files": found.skipped,
            }
        )
    else:
        _print(found)
    raise typer.Exit(1 if found.unknown else 0)


def _print(found: "Understanding") -> None:
    table = Table("Body Part Examined", "radiographs", "region", "what becomes of them")
    for word in found.words:
        table.add_row(
            word.word or "(not stated)", str(word.radiographs), word.region, str(word.decision)
        )
    out.print(table)
    if found.skipped:
        err.print(f"{found.skipped} files are no CR or DX image")
    if found.unknown:
        out.print(f"Unknown: {', '.join(found.unknown)}. They are analysed. To say what they mean:")
        out.print(
            "  \\[body_parts]\n"
            + "\n".join(f'  "{word}" = "HAND"   # or "not a limb"' for word in found.unknown[:3])
        )
