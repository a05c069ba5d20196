"""The list's query string: whatever comes in it, a filter comes out, and links give it again."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.outcomes import Outcome
from db.worklist_records import ModelLabel, Position, WorklistFilter
from worklist.pages.query import cursor_text, filter_query, parse_cursor, parse_filter

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC))
POSITIONS = st.builds(Position, MOMENTS, st.booleans(), st.integers(0, 2**31 - 1))


@given(POSITIONS)
def test_a_cursor_leads_back_to_the_very_same_position(position: Position) -> None:
    assert parse_cursor(cursor_text(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-c",
        "x-c-1",
        "1-d-1",
        "1-c--1",
        "-1-c-1",
        "1-c-1 ",
        "9" * 18 + "-c-1",
        "١-c-١",
    ],
)
def test_what_is_no_cursor_of_ours_is_none(text: str) -> None:
    assert parse_cursor(text) is None


@given(st.text())
def test_no_text_breaks_the_cursor(text: str) -> None:
    parse_cursor(text)


NAMES = st.sampled_from(["outcome", "source", "body_part", "since", "until", "model", "q", "x"])


@given(st.lists(st.tuples(NAMES, st.text())))
def test_no_query_breaks_the_filter_and_its_link_gives_it_again(
    query: list[tuple[str, str]],
) -> None:
    wanted = parse_filter(query, BERLIN)
    again = parse_qsl(filter_query(wanted, BERLIN), strict_parsing=False)
    assert parse_filter(again, BERLIN) == wanted


def test_every_field_of_the_form_is_read() -> None:
    query = [("outcome", "POSITIVE"), ("outcome", "WAITING"), ("source", "sweep"), ("q", " Mü ")]
    query += [("body_part", "HAND"), ("model", "our net 1.0")]
    query += [("since", "2026-03-29"), ("until", "2026-03-29")]
    assert parse_filter(query, BERLIN) == WorklistFilter(
        outcomes=frozenset({Outcome.POSITIVE}),
        waiting=True,
        swept=True,
        body_part="HAND",
        since=datetime(2026, 3, 28, 23, tzinfo=UTC),
        until=datetime(2026, 3, 29, 22, tzinfo=UTC),  # a day of 23 hours
        model=ModelLabel("our net", "1.0"),
        search="Mü",
    )


def test_what_makes_no_sense_is_left_out() -> None:
    query = [("outcome", "URGENT"), ("source", "moon"), ("since", "yesterday"), ("model", "net")]
    assert parse_filter(query, BERLIN) == WorklistFilter()


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_beyond_all_reckoning_is_the_first_or_the_last(day: str) -> None:
    wanted = parse_filter([("since", day), ("until", day)], BERLIN)
    assert wanted.since is not None
    assert wanted.until is not None
    assert wanted.until - wanted.since == timedelta(days=1)


def test_a_number_that_no_row_can_have_comes_after_all() -> None:
    position = parse_cursor("1-c-9999999999")
    assert position is not None
    assert position.row_id == 2**31 - 1
