"""Who asks: the account behind a request, and whether it may.

Every page takes `Reader` or `Admin`, everything that changes something `CsrfChecked` as well.
Whoever may not is answered by `worklist.people.refusals`.
"""

import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request

from db.states import Role
from db.web_sessions import Lifetime, SessionRecord, WebSessions
from worklist.parts import Parts
from worklist.people.cookies import token_of
from worklist.people.origin import client_address, is_from_own_site, named_by_proxy

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_PAGES = frozenset({"document", "iframe", "frame", "embed", "object"})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has signed in, for the time of one request."""

    account_id: int
    name: str
    role: Role
    csrf_token: str
    """What every form of theirs must send back."""

    @property
    def is_admin(self) -> bool:
        """Whether people, trail and exports are theirs to see."""
        return self.role is Role.ADMIN


class RequestRefused(HTTPException):
    """Not signed in (401), or not allowed (403); `detail` says so in words."""

    def __init__(self, status_code: int, detail: str, who: SignedIn | None = None) -> None:
        challenge = {"WWW-Authenticate": "Cookie"} if status_code == 401 else None
        super().__init__(status_code, detail, challenge)
        self.who = who


class SignInNeeded(HTTPException):
    """Of a page: the browser is sent to sign in, and back afterwards."""

    def __init__(self, next_path: str) -> None:
        super().__init__(303, "sign in", {"Location": f"/sign-in?next={quote(next_path, safe='')}"})


def web_sessions(parts: Parts) -> WebSessions:
    """The sessions under the rules of the settings."""
    lifetime = Lifetime(parts.sessions.idle, parts.sessions.longest)
    return WebSessions(parts.engine, parts.clock, lifetime)


def find_signed_in(request: Request, *, used: bool = True) -> SignedIn | None:
    """Who asks at this moment; None: nobody has signed in. Asks the ledger each time.

    `used`: the request shows that somebody is there, so that the session goes on.

    What a trusted proxy says goes before the cookie, and begins a session if there is none: the
    cookie follows with the answer. RequestRefused: the proxy names nobody of ours.
    """
    sessions = web_sessions(request.app.state.parts)
    named = named_by_proxy(request)
    token = getattr(request.state, "begun_session", "") or token_of(request)
    found = sessions.find(token, used=used) if token else None
    if named is None:
        return None if found is None else _signed_in(found)
    if found is not None and found.name == named:
        return _signed_in(found)
    begun = sessions.begin_by_proxy(named, {"address": client_address(request), "by": "proxy"})
    if begun is None:
        raise RequestRefused(
            403, "You have no account here, or it is disabled: ask an administrator."
        )
    request.state.begun_session = begun.token  # `worklist.headers` sends it
    return _signed_in(begun.record)


def require_reader(request: Request) -> SignedIn:
    """Anybody who has signed in; who has not is sent to sign in, or refused."""
    who = find_signed_in(request)
    if who is not None:
        return who
    if _asks_for_page(request):
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignInNeeded(request.url.path + query)
    raise RequestRefused(401, "Sign in first.")


Reader = Annotated[SignedIn, Depends(require_reader)]


def require_listener(request: Request) -> SignedIn:
    """Somebody who has signed in, by a request that an open page makes by itself.

    A page left open does not keep its session.
    """
    who = find_signed_in(request, used=False)
    if who is None:
        raise RequestRefused(401, "Sign in first.")
    return who


Listener = Annotated[SignedIn, Depends(require_listener)]


def require_admin(who: Reader) -> SignedIn:
    """An administrator."""
    if not who.is_admin:
        raise RequestRefused(403, "Only administrators may see or do that.", who)
    return who


Admin = Annotated[SignedIn, Depends(require_admin)]


async def check_csrf(request: Request, who: Reader) -> None:
    """Refuse what does not come from one of our own pages, shown to the same session."""
    if not is_from_own_site(request):
        raise RequestRefused(403, "That came from another site: nothing was done.", who)
    given = request.headers.get("x-csrf-token") or await _form_token(request)
    if not secrets.compare_digest(given.encode("utf-8", "replace"), who.csrf_token.encode()):
        raise RequestRefused(403, "That page was out of date: go back, reload it, try again.", who)


CsrfChecked = Depends(check_csrf)


async def _form_token(request: Request) -> str:
    if not request.headers.get("content-type", "").startswith(_FORMS):
        return ""
    token = (await request.form()).get("csrf_token", "")
    return token if isinstance(token, str) else ""


def _asks_for_page(request: Request) -> bool:
    if request.method not in _SAFE_METHODS or request.url.path.startswith("/api/"):
        return False
    return request.headers.get("sec-fetch-dest", "document") in _PAGES


def _signed_in(record: SessionRecord) -> SignedIn:
    return SignedIn(record.account_id, record.name, record.role, record.csrf_token)
