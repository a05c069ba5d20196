"""Somebody who may use a worklist of the tests, and a session of theirs without a browser."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Engine

from db.accounts import Accounts
from db.errors import AccountRefused
from db.states import Role
from db.web_sessions import NewSession, WebSessions
from worklist.parts import Parts
from worklist.people.access import web_sessions
from worklist.people.cookies import cookie_name
from worklist.people.passwords import hash_password

PASSWORD = "seven bones of the tarsus"


def add_person(
    engine: Engine,
    clock: Callable[[], datetime],
    name: str = "dr.quinn",
    role: Role = Role.READER,
) -> None:
    """An account with PASSWORD, unless it is there."""
    with suppress(AccountRefused):
        Accounts(engine, clock).add(name, role, hash_password(PASSWORD, name), "test")


def begin_session(parts: Parts, name: str = "dr.quinn", role: Role = Role.READER) -> NewSession:
    """As a trusted proxy begins one; the account is added where it is missing."""
    add_person(parts.engine, parts.clock, name, role)
    sessions: WebSessions = web_sessions(parts)
    begun = sessions.begin_by_proxy(name, {"by": "test"})
    assert begun is not None
    return begun


def session_cookie(
    parts: Parts, name: str = "dr.quinn", role: Role = Role.READER
) -> dict[str, str]:
    """What a signed-in browser sends."""
    return {cookie_name(parts.sessions): begin_session(parts, name, role).token}
