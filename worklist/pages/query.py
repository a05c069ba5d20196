"""The list's query string: filters and cursors, there and back. What makes no sense is left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from db.outcomes import Outcome
from db.worklist_records import ModelLabel, Position, WorklistFilter

WAITING = "WAITING"
"""Stands beside the outcomes for studies that have none yet."""
TRIAGE, SWEEP = "triage", "sweep"

LONGEST_SEARCH = 128
CURSOR_PATTERN = "([0-9]{1,17})-([cw])-([0-9]{1,10})"
_CURSOR = re.compile(CURSOR_PATTERN)
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9000, 1, 1)
_LARGEST_ID = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_cursor(text: str) -> Position | None:
    """None: it is no cursor of ours."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        return None
    moment = _EPOCH + int(match[1]) * _MICROSECOND
    return Position(moment, match[2] == "c", min(int(match[3]), _LARGEST_ID))


def cursor_text(position: Position) -> str:
    """As links and `parse_cursor` have it."""
    micros = (position.moment - _EPOCH) // _MICROSECOND
    return f"{micros}-{'c' if position.concluded else 'w'}-{position.row_id}"


def parse_filter(query: Sequence[tuple[str, str]], zone: ZoneInfo) -> WorklistFilter:
    """From the pairs of a query string; days are those of the site's `zone`."""
    single = {name: value.strip() for name, value in query}
    outcomes = [value for name, value in query if name == "outcome"]
    until = _day(single.get("until", ""))
    return WorklistFilter(
        outcomes=frozenset(Outcome(one) for one in outcomes if one in Outcome.__members__),
        waiting=WAITING in outcomes,
        swept={TRIAGE: False, SWEEP: True}.get(single.get("source", "")),
        body_part=single.get("body_part", "")[:LONGEST_SEARCH],
        since=_begin(_day(single.get("since", "")), zone),
        until=_begin(None if until is None else until + timedelta(days=1), zone),
        model=_model(single.get("model", "")),
        search=single.get("q", "").replace("\0", "")[:LONGEST_SEARCH],
    )


def filter_query(wanted: WorklistFilter, zone: ZoneInfo, **more: str) -> str:
    """The query string that gives this filter again, with `more` at its end."""
    pairs = [("outcome", outcome.value) for outcome in Outcome if outcome in wanted.outcomes]
    pairs += [("outcome", WAITING)] if wanted.waiting else []
    pairs += [pair for pair in form_values(wanted, zone).items() if pair[1]]
    return urlencode([*pairs, *more.items()])


def form_values(wanted: WorklistFilter, zone: ZoneInfo) -> Mapping[str, str]:
    """What the fields beside `outcome` hold."""
    until = None if wanted.until is None else wanted.until.astimezone(zone).date()
    return {
        "q": wanted.search,
        "source": "" if wanted.swept is None else (SWEEP if wanted.swept else TRIAGE),
        "body_part": wanted.body_part,
        "since": "" if wanted.since is None else f"{wanted.since.astimezone(zone):%Y-%m-%d}",
        "until": "" if until is None else str(until - timedelta(days=1)),
        "model": "" if wanted.model is None else wanted.model.text,
    }


def of_outcomes(wanted: WorklistFilter, *names: str) -> WorklistFilter:
    """The same filter for other outcomes."""
    outcomes = frozenset(Outcome(name) for name in names if name != WAITING)
    return replace(wanted, outcomes=outcomes, waiting=WAITING in names)


def _model(text: str) -> ModelLabel | None:
    name, _, version = text.rpartition(" ")
    return ModelLabel(name, version) if name and version else None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Beyond, neither time zones nor the day after can be reckoned.
    return min(max(day, _FIRST_DAY), _LAST_DAY)


def _begin(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, tzinfo=zone)
