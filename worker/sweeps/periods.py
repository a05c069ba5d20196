"""Which period is searched next: backwards in time, shorter where there is too much. Pure."""

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta

from dicom_node.query import Period

_MINUTE = timedelta(minutes=1)
_DAY_MINUTES = 24 * 60
LONGEST_MINUTES = 32 * _DAY_MINUTES
FIRST_MINUTES = _DAY_MINUTES
LONGEST_GAP_DAYS = 3653
"""A search without a first day ends where nothing was found for so long."""


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """Everything after `until` is searched; as kept with a sweep."""

    until: datetime
    """The last minute that is not searched yet; local to the source, as DICOM's times are."""
    minutes: int = FIRST_MINUTES
    """How long the next period may be."""
    empty_days: int = 0
    """Days in a row, up to here, in which nothing was found."""

    def period(self, first_day: date | None) -> Period | None:
        """The next one; None: all is searched.

        A part of a day never crosses midnight: a range of dates and one of times are met
        separately (PS3.4 C.2.2.2.5).
        """
        start = self.until - timedelta(minutes=self.minutes) + _MINUTE
        midnight = datetime.combine(self.until.date(), time())
        first = start if self.minutes >= _DAY_MINUTES else max(start, midnight)
        if first_day is None and self.empty_days > LONGEST_GAP_DAYS:
            return None
        if first_day is not None:
            first = max(first, datetime.combine(first_day, time()))
        return Period(first, self.until) if first <= self.until else None

    def after(self, period: Period, found: int) -> "SearchCursor":
        """Once a period is searched: what lies before it, for twice as long."""
        minutes = _whole_days(min(2 * self.minutes, LONGEST_MINUTES))
        if minutes >= _DAY_MINUTES and period.first.time() != time():
            minutes = self.minutes  # the rest of a day comes first
        days = max(1, (period.last - period.first + _MINUTE) // timedelta(days=1))
        return SearchCursor(period.first - _MINUTE, minutes, 0 if found else self.empty_days + days)

    def halved(self, period: Period) -> "SearchCursor | None":
        """After too many answers; None: one minute cannot be made shorter."""
        minutes = int((period.last - period.first + _MINUTE) / _MINUTE)
        if minutes == 1:
            return None
        return SearchCursor(self.until, _whole_days(minutes // 2), self.empty_days)

    def to_json(self) -> str:
        """For the ledger."""
        return json.dumps({**asdict(self), "until": self.until.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> "SearchCursor":
        """The reverse."""
        found = json.loads(text)
        return cls(**{**found, "until": datetime.fromisoformat(found["until"])})


def _whole_days(minutes: int) -> int:
    return minutes if minutes < _DAY_MINUTES else minutes - minutes % _DAY_MINUTES


def begin_search(last_day: date) -> SearchCursor:
    """From the end of a day on, backwards."""
    return SearchCursor(datetime.combine(last_day, time(23, 59)))
