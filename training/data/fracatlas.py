"""FracAtlas (Abedeen et al., Scientific Data 10, 521, 2023): `images.csv` beside `images/`.

FracAtlas states no patients. Neighbouring ids often are one patient's, so blocks of consecutive ids
stand in for patients, and duplicates are kept together.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from training.data.example import Box, Example
from training.data.table import Row, read_rows
from training.errors import DataError

TABLE = "images.csv"
BOX_TABLE = "fracture_boxes.csv"
ATTRIBUTION = (
    "FracAtlas, Abedeen et al., Scientific Data 10, 521 (2023), figshare 22363012, CC BY 4.0"
)
LIMITS = (
    "Trained on one data set of limbs, hips and shoulders: no skull, spine, ribs or pelvis.",
    "Most pictures of the data set are small 8-bit JPEG; CR and DX of other makers may differ.",
    "Nearly every radiograph with metal hardware in the data set is fractured; hardware raises the "
    "probability by itself.",
)
VIEWS = ("frontal", "lateral", "oblique")
COLUMNS = ("fractured", "region", "hardware", "duplicate_group", "id_block")


def recognises(folder: Path) -> bool:
    """Whether the table and the folder of images are there."""
    return (folder / TABLE).is_file() and (folder / "images").is_dir()


def read_fracatlas(folder: Path) -> list[Example]:
    """All examples of `folder`/images.csv, with columns image_id, fractured, region, hardware,
    duplicate_group and id_block.

    The columns frontal, lateral and oblique, and `fracture_boxes.csv`, are read where they exist.

    Raises:
        DataError: the table or a column is missing, it has no rows, a cell that says yes or no is
            neither 1 nor 0, or one that names a group is empty.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DataError(f"{table} is missing; --data names the folder with {TABLE} and images/")
    boxes = _boxes(folder / BOX_TABLE)
    rows = read_rows(table, named_by="image_id", required=COLUMNS)
    return [_example(folder, row, boxes) for row in rows]


def _example(folder: Path, row: Row, boxes: Mapping[str, tuple[Box, ...]]) -> Example:
    return Example(
        path=folder / "images" / row.name,
        fractured=row.is_yes("fractured"),
        groups=(
            f"block {row.stated('id_block')}",
            f"duplicates {row.stated('duplicate_group')}",
        ),
        region=row.text("region"),
        hardware=row.is_yes("hardware"),
        view="+".join(view for view in VIEWS if row.may_be_yes(view)),
        boxes=boxes.get(row.name, ()),
    )


def _boxes(table: Path) -> dict[str, tuple[Box, ...]]:
    if not table.is_file():
        return {}
    found = defaultdict[str, tuple[Box, ...]](tuple)
    sides = ("x", "y", "width", "height")
    for row in read_rows(table, named_by="image_id", required=sides):
        try:
            found[row.name] += (Box(*(float(row.text(side)) for side in sides)),)
        except ValueError:
            raise DataError(f"{table} has a box of {row.name} that is not four numbers") from None
    return found
