"""Signing in and out."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from db.accounts import Accounts
from worklist.parts import Parts
from worklist.people.access import (
    RequestRefused,
    SignedIn,
    check_csrf,
    find_signed_in,
    web_sessions,
)
from worklist.people.cookies import set_session_cookie, token_of
from worklist.people.origin import client_address, is_from_own_site
from worklist.people.passwords import TooBusy
from worklist.people.signing_in import AddressThrottled, sign_in
from worklist.templating import page

router = APIRouter(include_in_schema=False)

_REFUSED = (
    "That did not sign you in: name or password is wrong, or the account is locked or disabled. "
    "Several wrong passwords in a row lock an account for a while."
)
_BUSY = "Too many people sign in at this moment. Try again in a few seconds."
_START = "/"


@router.get("/sign-in")
def show_sign_in(
    request: Request, next_path: Annotated[str, Query(alias="next")] = _START
) -> Response:
    """The form; whoever has signed in goes on at once."""
    if find_signed_in(request) is not None:
        return RedirectResponse(own_path(next_path), 303)
    return _form(request, own_path(next_path))


@router.post("/sign-in")
def do_sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next_path: Annotated[str, Form(alias="next")] = _START,
) -> Response:
    """A fresh session for a right password; whatever session the browser had ends."""
    if not is_from_own_site(request):  # another site must not sign somebody in as somebody else
        raise RequestRefused(403, "That came from another site: nothing was done.")
    path = own_path(next_path)
    try:
        begun = sign_in(request, name, password)
    except AddressThrottled as throttled:
        wait = f"Too many failed sign-ins from here. Try again in {throttled.minutes} minutes."
        return _form(request, path, wait, 429, {"Retry-After": str(throttled.minutes * 60)})
    except TooBusy:
        return _form(request, path, _BUSY, 503, {"Retry-After": "5"})
    if begun is None:
        return _form(request, path, _REFUSED, 401, {"WWW-Authenticate": "Cookie"})
    _end_session(request)
    return _leave(request, path, begun.token)


def _who_signs_out(request: Request) -> SignedIn | None:
    """None: the session has ended already, and there is nothing to protect."""
    return find_signed_in(request)


async def _check_csrf(
    request: Request, who: Annotated[SignedIn | None, Depends(_who_signs_out)]
) -> None:
    if who is not None:
        await check_csrf(request, who)


@router.post("/sign-out", dependencies=[Depends(_check_csrf)])
def do_sign_out(request: Request) -> Response:
    """End the session and forget the cookie."""
    _end_session(request)
    return _leave(request, "/sign-in", "")


def own_path(path: str) -> str:
    """A path of this site, as it was given; anything that leads elsewhere becomes the start."""
    parts = urlsplit(path)
    leads_elsewhere = parts.scheme or parts.netloc or not path.startswith("/")
    # Browsers read "/\\x" and "/<tab>/x" as "//x", which is another host.
    if leads_elsewhere or path[1:2] in ("/", "\\") or any(ord(one) < 0x21 for one in path):
        return _START
    return _START if parts.path in ("/sign-in", "/sign-out") or "\\" in parts.path else path


def _end_session(request: Request) -> None:
    parts: Parts = request.app.state.parts
    web_sessions(parts).end(token_of(request), {"address": client_address(request)})


def _leave(request: Request, path: str, token: str) -> Response:
    parts: Parts = request.app.state.parts
    response = RedirectResponse(path, 303)
    set_session_cookie(response, parts.sessions, token)
    return response


def _form(
    request: Request,
    next_path: str,
    refusal: str = "",
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    parts: Parts = request.app.state.parts
    response = page(
        request,
        "sign_in.html",
        None,
        status_code=status_code,
        next_path=next_path,
        refusal=refusal,
        nobody=Accounts(parts.engine, parts.clock).is_empty(),
    )
    response.headers.update(headers or {})
    return response
