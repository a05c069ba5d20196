"""What people did, for the audit trail: with the address that they did it from."""

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from db.audit import Details, Trail, record_event
from worklist.parts import Parts
from worklist.people.access import SignedIn
from worklist.people.origin import client_address


def record(
    request: Request,
    who: SignedIn,
    action: str,
    subject: str,
    /,
    **details: Any,  # Any: JSON
) -> None:
    """Enter an event in a transaction of its own.

    `action` in the past tense ("opened study"); `subject` what it was done to: a Study Instance
    UID, an account, a model. `details`: figures and reasons, without patient data.
    """
    parts: Parts = request.app.state.parts
    complete = _with_address(request, details)
    Trail(parts.engine, parts.clock).note(who.name, action, subject, complete)


def record_in(
    session: Session,
    request: Request,
    who: SignedIn,
    action: str,
    subject: str,
    /,
    **details: Any,  # Any: JSON
) -> None:
    """The same in the transaction of what it tells."""
    parts: Parts = request.app.state.parts
    complete = _with_address(request, details)
    record_event(session, who.name, action, subject, complete, parts.clock())


def _with_address(request: Request, details: Details) -> Details:
    return {"address": client_address(request), **details}
