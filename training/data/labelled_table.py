"""A folder of images with `labels.csv`: one row per image, its label and what is known of it."""

from pathlib import Path

from training.data.example import Example
from training.data.table import Row, read_rows, refuse_misspelt_columns

TABLE = "labels.csv"
COLUMNS = {
    "path": "image, below the folder",
    "fractured": "1 or 0",
    "patient": "any id; the same id is never parted by a split",
    "study": "any id; views of one study are judged together",
    "view": "projection, such as ap or lateral",
    "region": "body part",
    "hardware": "1 or 0: metal is visible",
    "boxes": 'fractures as "x y width height" in pixels, several parted by ";"',
    "part": "train, validation or test, where the data set says so",
}
"""Column: meaning. `path` and `fractured` must be there."""


def recognises(folder: Path) -> bool:
    """Whether labels.csv is there; dicom_folder.py is asked first."""
    return (folder / TABLE).is_file()


def read_labelled_table(folder: Path) -> list[Example]:
    """All examples of `folder`/labels.csv; `COLUMNS` says what it may hold.

    Raises:
        DataError: `path` or `fractured` is missing, a column's name is nearly one of ours, a cell
            is not what its column holds, or there are no rows.
    """
    table = folder / TABLE
    refuse_misspelt_columns(table, tuple(COLUMNS))
    rows = read_rows(table, named_by="path", required=("fractured",))
    return [_example(folder, row) for row in rows]


def _example(folder: Path, row: Row) -> Example:
    row.stated("path")
    return Example(
        path=folder / row.name,
        fractured=row.is_yes("fractured"),
        groups=named_groups(patient=row.text("patient"), study=row.text("study")),
        region=row.text("region").lower(),
        hardware=row.may_be_yes("hardware"),
        view=row.text("view").lower(),
        study=row.text("study"),
        part=row.text("part"),
        boxes=row.boxes("boxes"),
    )


def named_groups(**ids: str) -> tuple[str, ...]:
    """Group names of the ids that are not empty."""
    return tuple(f"{kind} {value}" for kind, value in ids.items() if value)
