"""What a reader answers about one image, and the review that comes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.records import NewFinding
from db.reviews import NewReview
from db.states import ReviewOutcome
from worklist.images import Image

BOX = ("box_left", "box_top", "box_width", "box_height")
_LARGEST = 100_000


class AnswerRefused(Exception):
    """The answer makes no sense for this image; the message says why, to people."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that a reader may give."""

    outcome: ReviewOutcome
    words: str
    takes_box: bool
    """Whether it says that there is a fracture, so that its place may be told."""


_FLAGGED = (
    Choice(ReviewOutcome.AGREE, "Agree: there is a fracture", True),
    Choice(ReviewOutcome.DISAGREE, "Disagree: no fracture", False),
    Choice(ReviewOutcome.ELSEWHERE, "Fracture elsewhere", True),
    Choice(ReviewOutcome.BAD_HEATMAP, "Fracture, but a bad heatmap", True),
)
_NOT_FLAGGED = (
    Choice(ReviewOutcome.AGREE, "Agree: no fracture", False),
    Choice(ReviewOutcome.DISAGREE, "Disagree: there is a fracture", True),
)


def choices_for(image: Image) -> tuple[Choice, ...]:
    """The answers that fit what is said of it; none where nothing is."""
    if not image.can_be_reviewed:
        return ()
    return _FLAGGED if image.is_flagged else _NOT_FLAGGED


def review_of(
    image: Image,
    outcome: ReviewOutcome,
    box: tuple[int, int, int, int] | None,
    reader: str,
    now: datetime,
) -> NewReview:
    """Raises AnswerRefused."""
    choice = next((one for one in choices_for(image) if one.outcome is outcome), None)
    if choice is None:
        raise AnswerRefused("This answer does not fit what is said of the image.")
    if box is not None:
        _check_box(image, choice, box)
    return NewReview(
        image.instance.sop_instance_uid,
        outcome,
        choice.takes_box,
        reader,
        now,
        *(box or (None, None, None, None)),
    )


def box_of_form(form: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """All four numbers or none. Raises AnswerRefused."""
    stated = [form.get(name, "").strip() for name in BOX]
    if not any(stated):
        return None
    if not all(one.isascii() and one.isdecimal() and len(one) <= 6 for one in stated):
        raise AnswerRefused("The box needs all four whole numbers, or none.")
    left, top, width, height = map(int, stated)
    return left, top, width, height


def _check_box(image: Image, choice: Choice, box: tuple[int, int, int, int]) -> None:
    if not choice.takes_box:
        raise AnswerRefused("A box shows a fracture, and this answer says that there is none.")
    left, top, width, height = box
    if min(left, top) < 0 or min(width, height) < 1:
        raise AnswerRefused("The box is empty or begins outside the picture.")
    rows, columns = size_of(image.findings)
    if left + width > columns or top + height > rows:
        raise AnswerRefused(f"The box reaches out of the picture, {columns} wide and {rows} high.")


def size_of(findings: list[NewFinding]) -> tuple[int, int]:
    """Rows and columns of the radiograph; where they are not known, more than any has."""
    sizes = ((one.rows, one.columns) for one in findings)
    known = ((rows, columns) for rows, columns in sizes if rows is not None and columns is not None)
    return next(known, (_LARGEST, _LARGEST))
