"""From name and password to a session, without telling what was wrong."""

import math
from datetime import timedelta

import structlog
from fastapi import Request

from db.web_sessions import LockRule, NewSession
from worklist.parts import Parts
from worklist.people.access import web_sessions
from worklist.people.origin import client_address
from worklist.people.passwords import TooBusy, rehashed, verify_password

_log = structlog.get_logger(__name__)


class AddressThrottled(Exception):
    """Too many failures from one address; `wait` is how long it must wait."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"wait {wait}")
        self.minutes = math.ceil(wait / timedelta(minutes=1))


def sign_in(request: Request, name: str, password: str) -> NewSession | None:
    """Begin a session; None: refused, whatever the reason, after the same time.

    Raises:
        AddressThrottled: too many failures from this address; nothing was checked.
        TooBusy: too many passwords are being checked at once.
    """
    parts: Parts = request.app.state.parts
    address = client_address(request)
    wait = parts.throttle.admit(address, parts.clock())
    if wait is not None:
        _log.warning("sign_in_throttled", address=address)
        raise AddressThrottled(wait)
    try:
        session = _by_password(parts, name.strip().lower(), password, address)
    except TooBusy:
        parts.throttle.forgive(address)
        raise
    if session is not None:
        parts.throttle.forgive(address)
    return session


def _by_password(parts: Parts, name: str, password: str, address: str) -> NewSession | None:
    sessions, details = web_sessions(parts), {"address": address}
    credentials = sessions.credentials(name)
    known_hash = None if credentials is None else credentials.password_hash
    if not verify_password(known_hash, password) or credentials is None:
        rule = LockRule(parts.sessions.failures_to_lock, parts.sessions.lock)
        sessions.refuse(credentials, rule, details)
        return None
    session = sessions.begin(credentials, details)
    newer = rehashed(credentials.password_hash, password) if session is not None else None
    if newer is not None:
        sessions.rehash(credentials, newer)
    return session
