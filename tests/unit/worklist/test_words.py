"""Numbers, times and texts as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from db.outcomes import Outcome
from db.records import NewFinding
from db.states import DeliveryState, ReviewOutcome, StudyState
from worklist import words
from worklist.pages.study import viewer_link

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_every_term_of_the_ledger_has_a_word() -> None:
    assert set(words.OUTCOMES) == set(Outcome)
    assert set(words.STATES) == set(StudyState)
    assert set(words.DELIVERIES) == set(DeliveryState)
    assert set(words.REVIEWS) == set(ReviewOutcome)


def test_no_two_outcomes_share_a_word_or_a_shape() -> None:
    signs = [*words.OUTCOME_SIGNS.values(), words.WAITING]
    assert len({sign.word for sign in signs}) == len({sign.css for sign in signs}) == len(signs)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (None, ""),
        (0.0, "< 0.1 %"),
        (0.004, "0.4 %"),
        (0.0354, "3.5 %"),
        (0.5, "50 %"),
        (0.99, "99 %"),
        (1.0, "> 99 %"),
    ],
)
def test_a_probability_never_reads_as_certainty(probability: float | None, shown: str) -> None:
    assert words.percent(probability) == shown


def test_a_probability_below_a_threshold_beside_it_also_reads_so() -> None:
    assert words.percent(0.03496, beside=(0.035, 0.6)) == "3.496 %"
    assert words.percent(0.03496, beside=(0.6,)) == "3.5 %"
    assert words.percent(0.035, beside=(0.035,)) == "3.5 %"


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "< 1 min"),
        (timedelta(seconds=59), "< 1 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_a_lapse_is_told_in_one_unit(passed: timedelta, shown: str) -> None:
    assert words.lapse(NOW, NOW + passed) == shown


def test_no_character_turns_the_direction_in_which_a_name_is_read() -> None:
    assert words.shown("\u202enosnhoJ\u202c") == "\ufffdnosnhoJ\ufffd"
    assert words.shown("فاطمة\u200dمحمود") == "فاطمة\u200dمحمود"


def test_control_characters_are_made_visible_and_letters_stay() -> None:
    assert words.shown("Jo\x1b[2J\x00\x9b محمود 山田") == "Jo␛[2J␀␡ محمود 山田"


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (None, "waiting"),
        (NewFinding("1.2", 0, analysed=False, reason="no pixel data"), "Not analysed"),
        (NewFinding("1.2", 1, analysed=True, operating_point="specific"), "Fracture likely"),
        (NewFinding("1.2", 1, analysed=True, operating_point="sensitive"), "Fracture possible"),
        (NewFinding("1.2", 1, analysed=True), "No fracture flagged"),
    ],
)
def test_a_radiograph_has_the_word_of_what_it_reaches(
    finding: NewFinding | None, word: str
) -> None:
    assert words.finding_sign(finding).word == word


def test_a_link_into_the_viewer_holds_the_uid_percent_encoded() -> None:
    template = "https://viewer.example/?study={study_instance_uid}&x=1"
    assert viewer_link(template, "1.2&a=b") == "https://viewer.example/?study=1.2%26a%3Db&x=1"
    assert viewer_link("", "1.2") == ""
