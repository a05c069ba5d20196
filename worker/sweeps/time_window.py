"""When sweeps may work: from an hour of the evening to one of the morning, at the site."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From `start` until `end`, local times in `zone`; the same twice: always."""

    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether `now` (timezone-aware) is in it, as the clock on the wall shows."""
        local = now.astimezone(self.zone).time()
        if self.start == self.end:
            return True
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def night(self, now: datetime) -> date:
        """The local day on which the window that is open at `now` opened."""
        local = now.astimezone(self.zone)
        after_midnight = self.start > self.end and local.time() < self.end
        return local.date() - timedelta(days=1) if after_midnight else local.date()

    def closed_at(self, now: datetime) -> datetime | None:
        """When it closed last, in UTC; None: it is open."""
        if self.is_open(now):
            return None
        local = now.astimezone(self.zone)
        for days in (0, 1):
            closing = datetime.combine(local.date() - timedelta(days=days), self.end, self.zone)
            if closing.astimezone(UTC) <= now:
                return closing.astimezone(UTC)
        raise AssertionError("a day has no end of its window")

    def opens_after(self, now: datetime) -> datetime:
        """When it opens next, in UTC; a start that a change of clocks leaves out comes later."""
        local = now.astimezone(self.zone)
        for days in (0, 1):
            opening = datetime.combine(local.date() + timedelta(days=days), self.start, self.zone)
            if opening.astimezone(UTC) > now:
                return opening.astimezone(UTC)
        raise AssertionError("a day has no start of its window")
