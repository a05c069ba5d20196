"""The clock: against the database's and the broker's, and by itself."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis

from db.condition import server_clock
from db.errors import LedgerError
from worker.doctor.broker import is_redis, open_redis
from worker.doctor.database import missing_file, open_engine
from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.site import Site
from worker.settings import Settings

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This version is not older."""
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_NOTABLE, _HARMFUL = timedelta(seconds=2), timedelta(seconds=30)
"""Leases are compared between machines, and the shortest that are allowed last seconds."""
_REMEDY = (
    "Let NTP set the clocks of both machines: `timedatectl` or `chronyc tracking` on each; then "
    "restart the services."
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our clock ahead of another one (negative: behind), give or take `uncertainty`."""

    of: str
    ahead: timedelta
    uncertainty: timedelta


def look_at_clock(site: Site) -> Verdict:
    """By itself, then against all that can be asked."""
    return judge_clock(site.clock(), list(_comparisons(site)))


def judge_clock(now: datetime, comparisons: list[Comparison]) -> Verdict:
    """The worst comparison decides."""
    told = f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if not EARLIEST <= now < LATEST:
        return failed(f"{told} cannot be", _REMEDY)
    if not comparisons:
        return ok(f"{told}; no other clock to compare with")
    worst = max(comparisons, key=lambda one: abs(one.ahead) - one.uncertainty)
    seconds, certain = worst.ahead.total_seconds(), abs(worst.ahead) - worst.uncertainty
    word = "ahead of" if seconds > 0 else "behind"
    apart = f"{abs(seconds):.1f} s {word} that of the {worst.of}"
    if certain > _HARMFUL:
        return failed(f"{told}: {apart}; leases end too early or too late", _REMEDY)
    if certain > _NOTABLE:
        return warning(f"{told}: {apart}", _REMEDY)
    return ok(f"{told}, as that of the {' and the '.join(one.of for one in comparisons)}")


def look_at_time_zone(settings: Settings) -> Verdict:
    """Whether the site's zone was set: nights and days of sweeps go by it."""
    zone = settings.sweep.time_zone
    if "time_zone" in settings.sweep.model_fields_set or not (
        settings.schedules or settings.sources
    ):
        return ok(zone)
    return warning(
        f"sweeps go by {zone}, since sweep.time_zone is not set",
        'Set sweep.time_zone to that of the site, e.g. "Europe/Berlin".',
    )


def _comparisons(site: Site) -> Iterator[Comparison]:
    """What does not answer is left out: checks of their own tell that."""
    if missing_file(site.settings) is None:
        try:
            with open_engine(site.settings) as engine:
                yield from _compared("database", site, lambda: server_clock(engine))
        except LedgerError:
            pass
    if is_redis(site.settings):
        try:
            with closing(open_redis(site.settings, site.timeout_s)) as client:
                yield from _compared("broker", site, lambda: _redis_time(client))
        except (redis.RedisError, OSError, ValueError):
            pass


def _compared(of: str, site: Site, ask: Callable[[], datetime | None]) -> Iterator[Comparison]:
    ask()  # connects, so that the next answer comes at once
    before = site.clock()
    other = ask()
    after = site.clock()
    if other is not None:
        half = (after - before) / 2
        yield Comparison(of, before + half - other, half)


def _redis_time(client: "redis.Redis") -> datetime:
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
