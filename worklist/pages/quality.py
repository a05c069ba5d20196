"""The quality board: how much was flagged, how fast, and how readers agree, in a period."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import IntEnum
from itertools import pairwise
from statistics import median
from threading import Lock
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from sqlalchemy import Engine
from starlette.datastructures import State

from db.outcomes import FLAGGED, OUTCOMES, Outcome, percent
from db.quality import Flag, Period, Quality, ReadImage, SuspectedMissed
from db.states import ReviewOutcome
from worklist.charts import Interval, Series, Told, bars, intervals, stacked_bars, times
from worklist.intervals import wilson
from worklist.parts import Parts
from worklist.people.access import Reader
from worklist.templating import page

router = APIRouter(include_in_schema=False)

FEWEST = 30
"""Below it a figure is called small."""
_FEWEST_FOR_P95 = 5
_MOST_FLAGS, _MOST_READ, _MOST_SUSPECTS, _MOST_REASONS, _MOST_GROUPS = 20_000, 5_000, 200, 12, 12
_FRESH = timedelta(minutes=1)
_making = Lock()
_AGREES = (ReviewOutcome.AGREE, ReviewOutcome.BAD_HEATMAP)
_WORDS = {outcome: terms.word for outcome, terms in OUTCOMES.items()}


class Days(IntEnum):
    """Periods that one may choose."""

    WEEK = 7
    MONTH = 30
    QUARTER = 90


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with all that stands around it."""

    id: str
    heading: str
    told: str
    """What it says in a sentence, with its number and period."""
    chart: Markup
    legend: Sequence[tuple[str, str]]
    """(class, name) of each series."""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Of the table with the same values; the first cell names the row."""


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the page shows."""

    period: Period
    figures: Sequence[Figure]
    suspects: Sequence[SuspectedMissed]
    suspect_count: int
    """Of all, the first of whom are shown."""


@router.get("/quality", response_class=HTMLResponse)
def show_quality(request: Request, who: Reader, days: Days = Days.MONTH) -> HTMLResponse:
    """Everything on one page."""
    with _making:
        board = _board(request.app.state, days)
    return page(
        request,
        "quality.html",
        who,
        days=days,
        choices=list(Days),
        board=board,
        outcomes=OUTCOMES,
        percent=percent,
    )


def _board(state: State, days: Days) -> Board:
    """The last one made, if it is fresh: many readers cost what one does."""
    parts: Parts = state.parts
    boards: dict[Days, Board] = getattr(state, "quality_boards", {})
    now = parts.clock()
    if days not in boards or now - boards[days].period.until >= _FRESH:
        boards[days] = make_board(parts.engine, days, now, parts.time_zone)
    state.quality_boards = boards
    return boards[days]


def make_board(engine: Engine, days: Days, now: datetime, zone: ZoneInfo) -> Board:
    """Ask the ledger for everything and draw it."""
    quality, asked = Quality(engine), _days(now, days, zone)
    period, told = Period(asked[0].since, now), f"last {days} days"
    flags = quality.flags(period, _MOST_FLAGS)
    count, suspects = quality.suspected_missed(period, _MOST_SUSPECTS)
    return Board(
        period,
        (
            _flags_figure(asked, quality.outcomes(asked), told),
            _times_figure("to-flag", "Received to flagged", asked, flags, _to_flag, told),
            _times_figure("to-open", "Flagged to first opened", asked, flags, _to_open, told),
            _agreement_figure(quality.read_images(period, _MOST_READ), told),
            _reasons_figure(quality.not_analysed(period, _MOST_REASONS), told),
        ),
        suspects,
        count,
    )


def few(count: int) -> str:
    """A remark on figures that say little."""
    return f"; fewer than {FEWEST}, so it says little" if count < FEWEST else ""


def _days(now: datetime, count: int, zone: ZoneInfo) -> list[Period]:
    """Whole days at the site, today the last."""
    today = now.astimezone(zone).date()
    starts = [
        datetime.combine(today - timedelta(days=back), time(), zone)
        for back in range(count - 1, -2, -1)
    ]
    return [Period(since, until) for since, until in pairwise(starts)]


def _label(day: Period) -> str:
    return f"{day.since.day} {day.since:%b}"


def _flags_figure(
    days: Sequence[Period], outcomes: Sequence[Mapping[Outcome, int]], period: str
) -> Figure:
    totals = {outcome: sum(day[outcome] for day in outcomes) for outcome in Outcome}
    concluded = sum(totals.values())
    flagged = sum(totals[outcome] for outcome in FLAGGED)
    told = (
        f"{flagged} of {concluded} studies were flagged: "
        f"{totals[Outcome.POSITIVE]} fracture likely, "
        f"{totals[Outcome.DOUBTFUL]} possible; {period}, triage{few(concluded)}."
    )
    heading = "Flags per day"
    labels = [_label(day) for day in days]
    series = [
        Series(_WORDS[outcome], OUTCOMES[outcome].style, [day[outcome] for day in outcomes])
        for outcome in FLAGGED
    ]
    return Figure(
        "flags",
        heading,
        told,
        stacked_bars(Told("flags", heading, told), labels, series),
        [(one.style, one.name) for one in series],
        ["day", *_WORDS.values()],
        [
            [_date(day), *(str(counts[outcome]) for outcome in _WORDS)]
            for day, counts in zip(days, outcomes, strict=True)
        ],
    )


def _to_flag(flag: Flag) -> float | None:
    return (flag.flagged_at - flag.received_at).total_seconds()


def _to_open(flag: Flag) -> float | None:
    if flag.opened_at is None:
        return None
    return max(0.0, (flag.opened_at - flag.flagged_at).total_seconds())


def _times_figure(
    figure_id: str,
    heading: str,
    days: Sequence[Period],
    flags: Sequence[Flag],
    measure: Callable[[Flag], float | None],
    period: str,
) -> Figure:
    per_day = _per_day(days, flags, measure)
    every = [one for day in per_day for one in day]
    told = f"n = {len(every)} flagged studies, {period}, triage{few(len(every))}."
    if every:
        told = f"Median {_duration(median(every))}, p95 {_duration(p95(every))}; {told}"
    if missing := len(flags) - len(every):
        told += f" {missing} more have not been opened yet."
    if len(flags) == _MOST_FLAGS:
        told += f" Of the last {_MOST_FLAGS} flags only."
    medians = [median(day) if day else None for day in per_day]
    tops = [p95(day) if len(day) >= _FEWEST_FOR_P95 else None for day in per_day]
    series = [Series("median", "median", medians), Series("p95", "p95", tops)]
    return Figure(
        figure_id,
        heading,
        told,
        times(Told(figure_id, heading, told), [_label(day) for day in days], series),
        [("median", "median"), ("p95", f"p95, on days with {_FEWEST_FOR_P95} or more")],
        ["day", "n", "median", "p95"],
        [
            [_date(day), str(len(values)), _duration(middle), _duration(top)]
            for day, values, middle, top in zip(days, per_day, medians, tops, strict=True)
        ],
    )


def _per_day(
    days: Sequence[Period], flags: Sequence[Flag], measure: Callable[[Flag], float | None]
) -> list[list[float]]:
    """Times by the day of the flag."""
    zone = days[0].since.tzinfo
    places = {day.since.date(): at for at, day in enumerate(days)}
    per_day: list[list[float]] = [[] for _ in days]
    for flag in flags:
        at, seconds = places.get(flag.flagged_at.astimezone(zone).date()), measure(flag)
        if at is not None and seconds is not None:
            per_day[at].append(seconds)
    return per_day


def p95(values: Sequence[float]) -> float:
    """The smallest value that 95 % of all do not exceed."""
    ordered = sorted(values)
    return ordered[-(-95 * len(ordered) // 100) - 1]


def _agreement_figure(read: Sequence[ReadImage], period: str) -> Figure:
    groups = [("all images", list(read))]
    groups += _grouped(read, lambda one: f"body part {one.body_part_examined or 'not stated'}")
    groups += _grouped(read, lambda one: f"model {one.model or 'none'}")
    shares = [(name, sum(one.outcome in _AGREES for one in of), len(of)) for name, of in groups]
    elsewhere = sum(one.outcome is ReviewOutcome.ELSEWHERE for one in read)
    heatmaps = sum(one.outcome is ReviewOutcome.BAD_HEATMAP for one in read)
    told = (
        f"n = {len(read)} images that readers gave an answer on, {period}{few(len(read))}. Agreed: "
        f"agree, or only the heatmap is bad ({heatmaps}); fracture elsewhere ({elsewhere}) is not. "
        "Readers choose what they answer on, so this is no accuracy."
    )
    rows = [(name, agreed, of, *wilson(agreed, of)) for name, agreed, of in shares if of]
    drawn = [
        Interval(
            f"{name}: {agreed / of:.0%} of {of}",
            agreed / of,
            low,
            high,
            "small" if of < FEWEST else "",
        )
        for name, agreed, of, low, high in rows
    ]
    heading = "Agreement with readers"
    return Figure(
        "agreement",
        heading,
        told,
        intervals(Told("agreement", heading, told), drawn),
        [("agreed", "share, with its 95 % interval (Wilson)"), ("small", f"n below {FEWEST}")],
        ["of", "n", "agreed", "share", "95 % interval"],
        [
            [name, str(of), str(agreed), f"{agreed / of:.0%}", f"{low:.0%} to {high:.0%}"]
            for name, agreed, of, low, high in rows
        ],
    )


def _grouped(
    read: Sequence[ReadImage], key: Callable[[ReadImage], str]
) -> list[tuple[str, list[ReadImage]]]:
    """The largest groups, and all others as one."""
    groups: dict[str, list[ReadImage]] = {}
    for one in read:
        groups.setdefault(key(one), []).append(one)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    others = [one for _, group in largest[_MOST_GROUPS:] for one in group]
    return largest[:_MOST_GROUPS] + ([("others", others)] if others else [])


def _reasons_figure(reasons: Sequence[tuple[str, int]], period: str) -> Figure:
    count = sum(images for _, images in reasons)
    told = f"{count} images of studies that were not analysed, {period}, triage and sweeps."
    if len(reasons) == _MOST_REASONS:
        told += f" The {_MOST_REASONS} most frequent reasons."
    heading = "Not analysed, by reason"
    rows = [(f"{images} × {reason}", images) for reason, images in reasons]
    return Figure(
        "reasons",
        heading,
        told,
        bars(Told("reasons", heading, told), rows, "not-analysed"),
        [],
        ["reason", "images"],
        [[reason, str(images)] for reason, images in reasons],
    )


def _unit(highest: float) -> tuple[str, float]:
    """(name, seconds) of the unit that fits a time in seconds."""
    if highest < 120:
        return "s", 1
    return ("min", 60) if highest < 2 * 3600 else ("h", 3600)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    unit, size = _unit(seconds)
    return f"{seconds / size:.3g} {unit}"


def _date(day: Period) -> str:
    return f"{day.since:%Y-%m-%d}"
