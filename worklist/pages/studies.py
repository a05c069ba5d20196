"""`/`: the list of studies, and the reviews as a table for administrators."""

import csv
import io
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from db.reviews import NewReview
from db.worklist_records import WorklistCounts, WorklistFilter, WorklistLine, WorklistPage
from worklist import words
from worklist.pages.query import (
    WAITING,
    cursor_text,
    filter_query,
    form_values,
    of_outcomes,
    parse_cursor,
    parse_filter,
)
from worklist.pages.reading import InReach
from worklist.parts import Parts
from worklist.people import trail
from worklist.people.access import Admin, Reader
from worklist.templating import page

router = APIRouter(include_in_schema=False)

EXPORT_COLUMNS = (
    "sop_instance_uid",
    "outcome",
    "fractured",
    "reader",
    "reviewed_at",
    "box_left",
    "box_top",
    "box_width",
    "box_height",
)
"""As `fracture-screen reviews import` takes them."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Tab:
    """A link to the studies of one kind."""

    word: str
    css: str
    count: int
    href: str
    chosen: bool


@router.get("/")
def studies(request: Request, reading: InReach, who: Reader) -> HTMLResponse:
    """The list; whatever it is asked for stands in the query string."""
    zone = reading.parts.time_zone
    wanted = parse_filter(request.query_params.multi_items(), zone)
    before = parse_cursor(request.query_params.get("before", ""))
    after = parse_cursor(request.query_params.get("after", ""))
    latest_id = reading.worklist.latest_analysis_id()
    found = reading.worklist.page(wanted, before or after, backwards=before is not None)
    counts, now = reading.counts.get(), reading.parts.clock()
    return page(
        request,
        "studies.html",
        who,
        lines=found.lines,
        tabs=_tabs(wanted, counts, reading.parts),
        choices=reading.choices.get(),
        values=form_values(wanted, zone),
        outcomes=[(one.value, sign.word) for one, sign in words.OUTCOME_SIGNS.items()],
        wanted=wanted,
        narrowed=wanted != WorklistFilter(outcomes=wanted.outcomes, waiting=wanted.waiting),
        links=_links(wanted, found, reading.parts),
        latest_id=latest_id,
        is_first=found.newer is None,
        words=words,
        elapsed=lambda line: _elapsed(line, now),
    )


@router.get("/reviews/export")
def export_reviews(request: Request, reading: InReach, who: Admin) -> Response:
    """The reviews in force, as CSV."""
    reviews = [one.review for one in reading.reviews.in_force()]
    trail.record(request, who, "exported reviews", "reviews", reviews=len(reviews))
    name = f"reviews-{reading.parts.clock():%Y%m%d-%H%M}.csv"
    return Response(
        reviews_table(reviews),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def reviews_table(reviews: list[NewReview]) -> str:
    """CSV with EXPORT_COLUMNS; no cell begins as a spreadsheet's formula does."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(EXPORT_COLUMNS)
    for review in reviews:
        writer.writerow([_cell(getattr(review, name)) for name in EXPORT_COLUMNS])
    return table.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _tabs(wanted: WorklistFilter, counts: WorklistCounts, parts: Parts) -> list[Tab]:
    kinds: list[tuple[str, str, int, tuple[str, ...]]] = [("all", "", counts.all, ())]
    kinds += [
        (sign.word, sign.css, counts.outcomes[outcome], (outcome.value,))
        for outcome, sign in words.OUTCOME_SIGNS.items()
    ]
    kinds.append((words.WAITING.word, words.WAITING.css, counts.waiting, (WAITING,)))
    return [_tab(wanted, parts, *kind) for kind in kinds]


def _tab(
    wanted: WorklistFilter, parts: Parts, word: str, css: str, count: int, names: tuple[str, ...]
) -> Tab:
    there = of_outcomes(wanted, *names)
    query = filter_query(there, parts.time_zone)
    return Tab(word, css, count, f"/?{query}" if query else "/", there == wanted)


def _links(wanted: WorklistFilter, found: WorklistPage, parts: Parts) -> dict[str, str]:
    zone = parts.time_zone
    links = {"first": "/?" + filter_query(wanted, zone)}
    if found.newer is not None:
        links["newer"] = "/?" + filter_query(wanted, zone, before=cursor_text(found.newer))
    if found.older is not None:
        links["older"] = "/?" + filter_query(wanted, zone, after=cursor_text(found.older))
    return links


def _elapsed(line: WorklistLine, now: datetime) -> str:
    """Since it was received, for what waits; since it was concluded, for what nobody opened."""
    if line.verdict is None:
        return words.lapse(line.received_at, now)
    return "" if line.opened else words.lapse(line.verdict.finished_at, now)
