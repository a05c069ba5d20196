"""What administrators see: accounts, and the audit trail with its export."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.responses import Response

from db.accounts import AccountRecord, Accounts
from db.audit import Trail, Wanted
from db.errors import AccountRefused
from worklist.parts import Parts
from worklist.people.access import Admin, CsrfChecked, RequestRefused, SignedIn
from worklist.people.audit_messages import (
    ACTIONS,
    AUDIT_TRAIL,
    EXPORTED_TRAIL,
    VIEWED_TRAIL,
    Source,
    message_lines,
)
from worklist.people.origin import client_address
from worklist.people.trail import record
from worklist.templating import page

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 50

_CHANGES: Mapping[str, Callable[[Accounts, str, str], AccountRecord]] = MappingProxyType(
    {
        "disable": Accounts.disable,
        "enable": Accounts.enable,
        "unlock": Accounts.unlock,
        "end-sessions": Accounts.end_sessions,
    }
)
"""What may be done to an account here, by the last part of the path."""


@router.get("/people")
def show_people(request: Request, who: Admin) -> Response:
    """The accounts."""
    parts: Parts = request.app.state.parts
    return page(request, "people.html", who, accounts=Accounts(parts.engine, parts.clock).all())


@router.post("/people/{change}", dependencies=[CsrfChecked])
def change_account(
    request: Request, who: Admin, change: str, name: Annotated[str, Form()] = ""
) -> Response:
    """Disable, enable, unlock or sign out everywhere; then the accounts again."""
    parts: Parts = request.app.state.parts
    if change not in _CHANGES:
        raise RequestRefused(404, "There is no such change.", who)
    if change == "disable" and name == who.name:
        raise RequestRefused(409, "Nobody can disable the account they are signed in with.", who)
    try:
        details = {"address": client_address(request)}
        _CHANGES[change](Accounts(parts.engine, parts.clock, details), name, who.name)
    except AccountRefused as refusal:
        raise RequestRefused(409, f"Not done: {refusal}.", who) from None
    return RedirectResponse("/people", 303)


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """What the form above the trail asks for; days are those of the site, both included."""

    action: str = ""
    actor: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""

    def given(self) -> dict[str, str]:
        """Only what was filled in, as a link carries it."""
        return {key: value for key, value in asdict(self).items() if value}

    def wanted(self, zone: ZoneInfo) -> Wanted:
        """For the ledger. ValueError: a day cannot be read."""
        since = _midnight(self.since, zone) if self.since else None
        until = _midnight(self.until, zone, days_later=1) if self.until else None
        return Wanted(self.action.strip(), self.actor.strip(), self.subject.strip(), since, until)


def _trail_filter(
    action: str = "", actor: str = "", subject: str = "", since: str = "", until: str = ""
) -> TrailFilter:
    return TrailFilter(action, actor, subject, since, until)


Asked = Annotated[TrailFilter, Depends(_trail_filter)]


@router.get("/trail")
def show_trail(
    request: Request,
    who: Admin,
    asked: Asked,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """The audit trail, newest first. That it was looked at is its next line."""
    parts: Parts = request.app.state.parts
    wanted = _wanted(request, who, asked)
    events = Trail(parts.engine, parts.clock).page(wanted, PAGE_SIZE + 1, before)
    shown, older = events[:PAGE_SIZE], None
    if len(events) > PAGE_SIZE:
        older = urlencode({**asked.given(), "before": shown[-1].event_id})
    if before is None:
        record(request, who, VIEWED_TRAIL, AUDIT_TRAIL, **asked.given())
    return page(
        request,
        "trail.html",
        who,
        events=shown,
        asked=asked,
        older=older,
        is_first=before is None,
        first=urlencode(asked.given()),
        actions=sorted(ACTIONS),
    )


@router.get("/trail/export")
def export_trail(request: Request, who: Admin, asked: Asked) -> Response:
    """The same lines as audit messages of DICOM PS3.15 A.5, one a line, oldest first."""
    parts: Parts = request.app.state.parts
    wanted = _wanted(request, who, asked)
    record(request, who, EXPORTED_TRAIL, AUDIT_TRAIL, **asked.given())
    trail = Trail(parts.engine, parts.clock)
    lines = message_lines(trail.all(wanted), Source(socket.gethostname(), trail.patient_id))
    name = f"audit-messages-{parts.clock().astimezone(parts.time_zone):%Y-%m-%d}.txt"
    return StreamingResponse(
        (line.encode() for line in lines),
        media_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _wanted(request: Request, who: SignedIn, asked: TrailFilter) -> Wanted:
    parts: Parts = request.app.state.parts
    try:
        return asked.wanted(parts.time_zone)
    except ValueError as error:
        raise RequestRefused(400, f"A day looks like 2026-01-31: {error}.", who) from None


def _midnight(day: str, zone: ZoneInfo, days_later: int = 0) -> datetime:
    try:
        found = date.fromisoformat(day) + timedelta(days=days_later)
    except OverflowError:
        raise ValueError(f"{day} lies too far off") from None
    return datetime.combine(found, time(), zone)
