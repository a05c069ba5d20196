"""FracAtlas (Abedeen et al., Scientific Data 10, 521, 2023): `images.csv` beside `images/`.

FracAtlas states no patients. Neighbouring ids often are one patient's, so blocks of consecutive ids
stand in for patients, and duplicates are kept together.
"""

import csv
from pathlib import Path

from training.data.example import Example
from training.errors import DataError

TABLE = "images.csv"
ATTRIBUTION = (
    "FracAtlas, Abedeen et al., Scientific Data 10, 521 (2023), figshare 22363012, CC BY 4.0"
)


def read_fracatlas(folder: Path) -> list[Example]:
    """All examples of `folder`/images.csv, with columns image_id, fractured, region, hardware,
    duplicate_group and id_block.

    Raises:
        DataError: the table or a column is missing, it has no rows, a cell that says yes or no is
            neither 1 nor 0, or one that names a group is empty.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DataError(f"{table} is missing; --data names the folder with {TABLE} and images/")
    with table.open(newline="") as rows:
        try:
            examples = [_example(folder, row) for row in csv.DictReader(rows, restval="")]
        except KeyError as column:
            raise DataError(f"{table} has no column {column}") from column
    if not examples:
        raise DataError(f"{table} has no rows")
    return examples


def _example(folder: Path, row: dict[str, str]) -> Example:
    return Example(
        path=folder / "images" / row["image_id"],
        fractured=_is_yes(folder, row, "fractured"),
        groups=(
            f"block {_group(folder, row, 'id_block')}",
            f"duplicates {_group(folder, row, 'duplicate_group')}",
        ),
        region=row["region"],
        hardware=_is_yes(folder, row, "hardware"),
    )


def _is_yes(folder: Path, row: dict[str, str], column: str) -> bool:
    """1 or 0; anything else would be a wrong label in silence."""
    if row[column] not in ("0", "1"):
        raise DataError(
            f"{folder / TABLE} has {column} {row[column]!r} for {row['image_id']}; 0 or 1 is meant"
        )
    return row[column] == "1"


def _group(folder: Path, row: dict[str, str], column: str) -> str:
    """A group's name; an empty one would join all radiographs that lack it, or none of them."""
    if not row[column]:
        raise DataError(f"{folder / TABLE} has no {column} for {row['image_id']}; number it")
    return row[column]
