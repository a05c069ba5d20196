"""Nights at the site: across midnight, and across the changes of the clocks."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sweeps.time_window import TimeWindow

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = TimeWindow(time(22), time(6), BERLIN)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


def at(text: str) -> datetime:
    """Local time at the site."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-04T21:59", False),
        ("2026-03-04T22:00", True),
        ("2026-03-05T00:00", True),
        ("2026-03-05T05:59", True),
        ("2026-03-05T06:00", False),
        ("2026-03-05T12:00", False),
    ],
)
def test_the_default_window_is_open_at_night(moment: str, is_open: bool) -> None:
    assert NIGHT.is_open(at(moment)) == is_open


def test_a_window_of_the_day_does_not_cross_midnight() -> None:
    lunch = TimeWindow(time(12), time(13), BERLIN)
    assert lunch.is_open(at("2026-03-04T12:30"))
    assert not lunch.is_open(at("2026-03-04T00:30"))
    assert lunch.night(at("2026-03-04T12:30")) == date(2026, 3, 4)


def test_the_same_time_twice_is_always() -> None:
    always = TimeWindow(time(6), time(6), BERLIN)
    assert all(always.is_open(at(f"2026-03-04T{hour:02}:00")) for hour in range(24))


def test_what_lies_after_midnight_belongs_to_the_night_that_began_the_day_before() -> None:
    assert NIGHT.night(at("2026-03-04T22:00")) == date(2026, 3, 4)
    assert NIGHT.night(at("2026-03-05T05:59")) == date(2026, 3, 4)


def test_the_night_in_which_clocks_go_forward_is_an_hour_shorter() -> None:
    opens, closes = at("2026-03-28T22:00"), at("2026-03-29T06:00")
    assert closes.astimezone(UTC) - opens.astimezone(UTC) == timedelta(hours=7)
    open_hours = _open_minutes(opens) / 60
    assert open_hours == 7


def test_the_night_in_which_clocks_go_back_is_an_hour_longer() -> None:
    assert _open_minutes(at("2026-10-24T22:00")) / 60 == 9


def test_a_start_that_the_change_of_clocks_leaves_out_comes_an_hour_later() -> None:
    window = TimeWindow(time(2, 30), time(5), BERLIN)
    opening = window.opens_after(at("2026-03-29T01:00"))
    assert opening == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert window.is_open(opening)


def test_it_opens_tonight_or_tomorrow() -> None:
    assert NIGHT.opens_after(at("2026-07-01T12:00")) == datetime(2026, 7, 1, 20, tzinfo=UTC)
    assert NIGHT.opens_after(at("2026-07-01T23:00")) == datetime(2026, 7, 2, 20, tzinfo=UTC)


def test_it_closed_this_morning_or_yesterday() -> None:
    assert NIGHT.closed_at(at("2026-07-01T12:00")) == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert NIGHT.closed_at(at("2026-07-01T23:00")) is None
    lunch = TimeWindow(time(12), time(13), BERLIN)
    assert lunch.closed_at(at("2026-07-01T11:00")) == datetime(2026, 6, 30, 11, tzinfo=UTC)


@given(MOMENTS)
def test_the_window_was_open_just_before_it_closed(now: datetime) -> None:
    closing = NIGHT.closed_at(now)
    assert (closing is None) == NIGHT.is_open(now)
    if closing is not None:
        assert NIGHT.is_open(closing - timedelta(seconds=1))
        assert not NIGHT.is_open(closing)
        assert now - closing <= timedelta(hours=17)


@given(MOMENTS)
def test_the_window_is_open_when_it_opens_and_was_not_just_before(now: datetime) -> None:
    opening = NIGHT.opens_after(now)
    assert opening > now
    assert NIGHT.is_open(opening)
    assert not NIGHT.is_open(opening - timedelta(seconds=1))
    assert opening - now <= timedelta(hours=25)


def _open_minutes(opens: datetime) -> int:
    moment, minutes = opens.astimezone(UTC), 0
    while NIGHT.is_open(moment):
        moment += timedelta(minutes=1)
        minutes += 1
    return minutes
