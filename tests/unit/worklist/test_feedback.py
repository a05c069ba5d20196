"""A reader's answer about an image: what fits, and the review that comes of it."""

from datetime import UTC, datetime

import pytest

from db.records import NewFinding
from db.reviews import NewReview
from db.states import ReviewOutcome
from db.worklist_records import InstanceRecord
from worklist.feedback import AnswerRefused, box_of_form, choices_for, review_of
from worklist.images import Frame, Image

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
UID = "1.2.3"
OUTCOMES = list(ReviewOutcome)


def image(operating_point: str = "specific", *, analysed: bool = True) -> Image:
    finding = NewFinding(
        UID, 1, analysed=analysed, operating_point=operating_point, rows=200, columns=100
    )
    instance = InstanceRecord(UID, "1.2", "1.2.840.10008.5.1.4.1.1.1", "spool/x", 1, NOW)
    return Image("1.1", "hand PA left", instance, (Frame(1, finding, has_heatmap=False),), ())


def test_an_answer_says_whether_there_is_a_fracture() -> None:
    flagged = {choice.outcome: choice.takes_box for choice in choices_for(image("sensitive"))}
    assert flagged == {one: one is not ReviewOutcome.DISAGREE for one in OUTCOMES}
    silent = {choice.outcome: choice.takes_box for choice in choices_for(image(""))}
    assert silent == {ReviewOutcome.AGREE: False, ReviewOutcome.DISAGREE: True}
    assert choices_for(image("", analysed=False)) == ()


def test_a_review_holds_answer_reader_time_and_box() -> None:
    made = review_of(image(), ReviewOutcome.ELSEWHERE, (0, 0, 100, 200), "quinn", NOW)
    assert made == NewReview(UID, ReviewOutcome.ELSEWHERE, True, "quinn", NOW, 0, 0, 100, 200)
    missed = review_of(image(""), ReviewOutcome.DISAGREE, None, "quinn", NOW)
    assert (missed.fractured, missed.box_left) == (True, None)
    assert review_of(image(), ReviewOutcome.DISAGREE, None, "q", NOW).fractured is False


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((1, 1, 0, 5), "empty"),
        ((-1, 1, 5, 5), "outside"),
        ((50, 1, 51, 5), "100 wide and 200 high"),
        ((1, 199, 5, 2), "100 wide and 200 high"),
    ],
)
def test_a_box_lies_within_the_radiograph(box: tuple[int, int, int, int], told: str) -> None:
    with pytest.raises(AnswerRefused, match=told):
        review_of(image(), ReviewOutcome.ELSEWHERE, box, "quinn", NOW)


def test_an_answer_without_fracture_takes_no_box() -> None:
    with pytest.raises(AnswerRefused, match="there is none"):
        review_of(image(), ReviewOutcome.DISAGREE, (1, 1, 5, 5), "quinn", NOW)


def test_an_answer_that_was_not_offered_is_refused() -> None:
    with pytest.raises(AnswerRefused, match="does not fit"):
        review_of(image(""), ReviewOutcome.BAD_HEATMAP, None, "quinn", NOW)


def form(*values: str) -> dict[str, str]:
    names = ("box_left", "box_top", "box_width", "box_height")
    return dict(zip(names, values, strict=True))


def test_a_form_has_all_four_numbers_or_none() -> None:
    assert box_of_form(form("1", " 2 ", "3", "4")) == (1, 2, 3, 4)
    assert box_of_form(form("", " ", "", "")) is None
    for values in (("1", "", "3", "4"), ("1", "2", "-3", "4"), ("1", "2", "3.5", "4"), *MALICE):
        with pytest.raises(AnswerRefused, match="four whole numbers"):
            box_of_form(form(*values))


MALICE = [("1", "2", "3", "9" * 4301), ("1", "2", "3", "²"), ("1", "2", "3", "١")]
