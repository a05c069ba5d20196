"""Reviews from a CSV table: every line is checked before any is entered."""

import csv
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from db.reviews import NewReview
from db.states import ReviewOutcome
from worker.errors import NothingToDo

COLUMNS = ("sop_instance_uid", "outcome", "fractured", "reader", "reviewed_at")
BOX = ("box_left", "box_top", "box_width", "box_height")
"""Optional, all four or none, in pixels of the radiograph."""

_ANSWERS = {"yes": True, "1": True, "no": False, "0": False, "": None}

Row = Mapping[str, str]


def read_reviews(path: Path) -> list[NewReview]:
    """The reviews of a table with the columns `COLUMNS` and, if stated, `BOX`.

    Raises:
        NothingToDo: the file, a column or a value cannot be used; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise NothingToDo(f"{path} lacks the column {missing[0]}; it needs {_all()}")
            return [_line(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NothingToDo(f"{path} cannot be read as a table: {error}") from error


def _line(path: Path, number: int, row: Row) -> NewReview:
    try:
        return _review(row)
    except ValueError as error:
        raise NothingToDo(f"{path}, line {number}: {error}; nothing was entered") from None


def _review(row: Row) -> NewReview:
    if not row["sop_instance_uid"].strip():
        raise ValueError("sop_instance_uid is empty")
    return NewReview(
        sop_instance_uid=row["sop_instance_uid"].strip(),
        outcome=_outcome(row["outcome"]),
        fractured=_answer(row["fractured"]),
        reader=row["reader"].strip(),
        reviewed_at=_time(row["reviewed_at"]),
        **_box(row),
    )


def _outcome(text: str) -> ReviewOutcome:
    term = text.strip().upper().replace(" ", "_")
    if term not in ReviewOutcome.__members__:
        raise ValueError(f"outcome {text!r} is none of {', '.join(ReviewOutcome)}")
    return ReviewOutcome(term)


def _answer(text: str) -> bool | None:
    answer = text.strip().lower()
    if answer not in _ANSWERS:
        raise ValueError(f"fractured {text!r} is none of yes, no, 1, 0 or empty")
    return _ANSWERS[answer]


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text.strip())
    if time.tzinfo is None:
        raise ValueError(f"reviewed_at {text!r} has no time zone, e.g. 2026-03-04T05:06:07+01:00")
    return time


def _box(row: Row) -> dict[str, int]:
    stated = {name: row.get(name, "").strip() for name in BOX}
    if not any(stated.values()):
        return {}
    if not all(text.isdecimal() for text in stated.values()):
        raise ValueError(f"the box needs all of {', '.join(BOX)} as whole numbers, or none")
    return {name: int(text) for name, text in stated.items()}


def _all() -> str:
    return f"{', '.join(COLUMNS)}; optional: {', '.join(BOX)}"
