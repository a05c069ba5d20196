"""`/quarantine`: files that were kept apart, for administrators to accept or to discard."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from db.errors import CorrectionRefused
from worklist import words
from worklist.corrections import Difference, QuarantinedFile, Standing
from worklist.parts import Parts
from worklist.people.access import Admin, CsrfChecked, RequestRefused
from worklist.people.origin import client_address
from worklist.people.trail import record
from worklist.templating import page

router = APIRouter(include_in_schema=False)

MOST_SHOWN = 50
"""Files with their differences: each costs two headers to be read."""


@router.get("/quarantine")
def show_quarantine(request: Request, who: Admin) -> Response:
    """The files in quarantine, the oldest first. That they were looked at is noted."""
    parts: Parts = request.app.state.parts
    files = parts.corrector.quarantined()
    if files:
        record(request, who, "viewed quarantine", "quarantine", files=len(files))
    return page(
        request,
        "quarantine.html",
        who,
        files=[(file, _differences(parts, file)) for file in files[:MOST_SHOWN]],
        count=len(files),
        standing=Standing,
        words=words,
    )


@router.post("/quarantine/{decision}", dependencies=[CsrfChecked])
def decide(
    request: Request,
    who: Admin,
    decision: Literal["accept", "discard"],
    name: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Accept or discard one file; then the others."""
    parts: Parts = request.app.state.parts
    details = {"address": client_address(request)}
    try:
        if decision == "accept":
            parts.corrector.accept(name, actor=who.name, details=details)
        else:
            parts.corrector.discard(name, actor=who.name, details=details)
    except CorrectionRefused as refusal:
        raise RequestRefused(409, f"Not done: {refusal}.", who) from None
    return RedirectResponse("/quarantine", 303)


def _differences(parts: Parts, file: QuarantinedFile) -> list[Difference]:
    if file.standing is not Standing.DIFFERS:
        return []
    try:
        return list(parts.corrector.differences(file.name))
    except CorrectionRefused:  # decided by somebody else meanwhile, or the stored file is gone
        return []
