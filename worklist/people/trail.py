"""stand-in: part A. The trail of who did what."""

from typing import Any

from fastapi import Request

from db.audit import record_event
from db.session import transaction
from worklist.parts import Parts
from worklist.people.access import SignedIn


def record(request: Request, who: SignedIn, action: str, subject: str, **details: Any) -> None:
    """Any: JSON, without patient data."""
    parts: Parts = request.app.state.parts
    with transaction(parts.engine) as session:
        record_event(session, who.name, action, subject, details, parts.clock())
