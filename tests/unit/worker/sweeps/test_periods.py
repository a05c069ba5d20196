"""The search goes backwards through time and leaves no minute out."""

from datetime import date, datetime, time, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.query import Period
from worker.sweeps.periods import (
    LONGEST_GAP_DAYS,
    LONGEST_MINUTES,
    SearchCursor,
    begin_search,
)

LAST = date(2026, 3, 31)
MINUTE = timedelta(minutes=1)


def test_it_begins_with_the_last_day_and_goes_back_ever_faster() -> None:
    cursor = begin_search(LAST)
    days = []
    for _ in range(8):
        period = cursor.period(None)
        assert period is not None
        days.append((period.last - period.first + MINUTE).days)
        cursor = cursor.after(period, found=1)
    assert days == [1, 2, 4, 8, 16, 32, 32, 32]


def test_too_many_answers_halve_the_period_down_to_a_minute() -> None:
    cursor, minutes = begin_search(LAST), []
    while True:
        period = cursor.period(None)
        assert period is not None
        minutes.append(int((period.last - period.first + MINUTE) / MINUTE))
        halved = cursor.halved(period)
        if halved is None:
            break
        cursor = halved
    assert minutes == [1440, 720, 360, 180, 90, 45, 22, 11, 5, 2, 1]


def test_without_a_first_day_it_ends_after_ten_empty_years() -> None:
    cursor, steps = begin_search(LAST), 0
    while (period := cursor.period(None)) is not None:
        cursor = cursor.after(period, found=0)
        steps += 1
    assert (datetime.combine(LAST, time()) - cursor.until).days > LONGEST_GAP_DAYS
    assert steps < 150


def test_a_cursor_survives_the_ledger() -> None:
    cursor = SearchCursor(datetime(2026, 3, 4, 5, 6), 77, 3)
    assert SearchCursor.from_json(cursor.to_json()) == cursor


@given(
    days=st.integers(0, 90),
    capacity=st.integers(1, 5),
    times=st.lists(st.integers(0, 91 * 24 * 60 - 1), max_size=60),
)
def test_every_minute_is_searched_once_and_no_part_of_a_day_crosses_midnight(
    days: int, capacity: int, times: list[int]
) -> None:
    """Against a source that gives `capacity` answers at most."""
    first_day = LAST - timedelta(days=days)
    begin = datetime.combine(first_day, time())
    studies = [begin + MINUTE * minutes for minutes in times]
    cursor, searched = begin_search(LAST), []
    while (period := cursor.period(first_day)) is not None:
        assert period.first.date() == period.last.date() or period.is_of_whole_days
        length = int((period.last - period.first + MINUTE) / MINUTE)
        assert 1 <= length <= LONGEST_MINUTES
        found = sum(period.first <= study <= period.last for study in studies)
        if found > capacity and (halved := cursor.halved(period)) is not None:
            cursor = halved
            continue
        searched.append(period)
        cursor = cursor.after(period, found)
    assert _joined(searched) == Period(begin, datetime.combine(LAST, time(23, 59)))


def _joined(periods: list[Period]) -> Period:
    """Newest first, each ending a minute before the one searched before it."""
    for newer, older in pairwise(periods):
        assert older.last + MINUTE == newer.first
    return Period(periods[-1].first, periods[0].last)
