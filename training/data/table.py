"""Rows of a CSV table of labels: every cell that is wrong is named, and no label is guessed."""

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.example import Box
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `name` is what errors call it."""

    table: Path
    name: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """A cell that may be empty, or whose column may be missing."""
        return self.cells.get(column, "").strip()

    def stated(self, column: str) -> str:
        """A cell that must not be empty.

        Raises:
            DataError: it is. An empty group would join all rows that lack it, or none of them.
        """
        if not self.text(column):
            raise DataError(f"{self.table} has no {column} for {self.name}; fill it in")
        return self.text(column)

    def is_yes(self, column: str) -> bool:
        """1 or 0.

        Raises:
            DataError: anything else, which would be a wrong label in silence.
        """
        if self.text(column) not in ("0", "1"):
            raise DataError(
                f"{self.table} has {column} {self.text(column)!r} for {self.name}; 0 or 1 is meant"
            )
        return self.text(column) == "1"

    def may_be_yes(self, column: str) -> bool | None:
        """1, 0, or None for an empty cell or a missing column; errors as for `is_yes`."""
        return self.is_yes(column) if self.text(column) else None

    def boxes(self, column: str) -> tuple[Box, ...]:
        """Boxes as "x y width height", several parted by semicolons.

        Raises:
            DataError: a box without exactly four numbers.
        """
        texts = [text for text in self.text(column).split(";") if text.strip()]
        try:
            return tuple(Box(*(float(number) for number in text.split())) for text in texts)
        except (TypeError, ValueError):
            raise DataError(
                f"{self.table} has {column} {self.text(column)!r} for {self.name}; "
                '"x y width height" is meant, several parted by ";"'
            ) from None


def read_rows(table: Path, *, named_by: str, required: Sequence[str] = ()) -> list[Row]:
    """All rows of a UTF-8 CSV table with a header line.

    Raises:
        DataError: a column of `required` or `named_by` is missing, or there are no rows.
    """
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, restval="")
        columns = list(reader.fieldnames or ())
        for column in (named_by, *required):
            if column not in columns:
                raise DataError(f"{table} has no column {column!r}; it has {', '.join(columns)}")
        rows = [Row(table, cells[named_by].strip(), cells) for cells in reader]
    if not rows:
        raise DataError(f"{table} has no rows")
    return rows


def refuse_misspelt_columns(table: Path, known: Sequence[str]) -> None:
    """A table may have columns of its own, but one that nearly is ours is a slip.

    Raises:
        DataError: a misspelt `patient`, say, would lose the grouping in silence.
    """
    with table.open(newline="", encoding="utf-8-sig") as lines:
        columns = [column.strip() for column in next(csv.reader(lines), [])]
    for column in columns:
        close = difflib.get_close_matches(column.lower(), known, 1, cutoff=0.8)
        if column not in known and close and close[0] not in columns:
            raise DataError(f"{table} has a column {column!r}; did you mean {close[0]!r}?")
