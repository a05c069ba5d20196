"""What holds for every answer, errors too: its protecting headers, and how large a request may be.

No script, style, font or picture from elsewhere, and none inline: what a name or description
smuggles into a page cannot run.
"""

from collections.abc import Iterable

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worklist.parts import Parts
from worklist.people.cookies import cookie_header

_LARGEST_REQUEST_BYTES = 1024 * 1024
"""Names, passwords, reviews: nothing larger is ever sent here."""

_PAGE_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self'",
    "frame-src 'self'",
    "object-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)
_PDF = "application/pdf"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send "Origin: null" from our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS = "max-age=31536000"
_BROKEN = "Something broke here. The reason stands in the log of the worklist."


def protect(app: FastAPI) -> None:
    """Put the headers around an application.

    The last to be added, so that it is the outermost. Exceptions that nobody handles are answered
    here: Starlette would answer them outside of every middleware, without these headers.
    """
    app.add_middleware(ProtectingHeaders)


class ProtectingHeaders:
    """ASGI middleware: see `protect`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        answer = _Answer(scope, send)
        if _announced_bytes(scope) > _LARGEST_REQUEST_BYTES:
            await PlainTextResponse("That is too large.", 413)(scope, receive, answer.send)
            return
        try:
            await self._app(scope, _Bounded(receive).receive, answer.send)
        except _RequestTooLarge:
            if not answer.started:
                await PlainTextResponse("That is too large.", 413)(scope, receive, answer.send)
        except Exception:
            if not answer.started:
                await PlainTextResponse(_BROKEN, 500)(scope, receive, answer.send)
            raise


class _RequestTooLarge(Exception):
    """More arrived than may."""


class _Bounded:
    """Counts what arrives: a request in chunks announces no length."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > _LARGEST_REQUEST_BYTES:
            raise _RequestTooLarge
        return message


class _Answer:
    """Adds the headers when the answer starts."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            _protect(MutableHeaders(scope=message), self._scope)
        await self._send(message)


def _protect(headers: MutableHeaders, scope: Scope) -> None:
    is_pdf = headers.get("content-type", "").startswith(_PDF)
    headers.update(_ALWAYS)
    headers["Content-Security-Policy"] = "; ".join(_policy(is_pdf=is_pdf))
    headers["X-Frame-Options"] = "SAMEORIGIN" if is_pdf else "DENY"
    # Pages name patients: no browser of a shared workstation keeps them. Static files name nobody.
    is_static = scope["path"].startswith("/static/")
    headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = _HSTS
    begun = scope["state"].get("begun_session", "")
    if begun:  # by a trusted proxy: see `find_signed_in`
        parts: Parts = scope["app"].state.parts
        headers.append("set-cookie", cookie_header(parts.sessions, begun))


def _policy(*, is_pdf: bool) -> Iterable[str]:
    """A report is shown within our own study page; nothing else is shown within anything."""
    yield from _PAGE_POLICY
    yield "frame-ancestors 'self'" if is_pdf else "frame-ancestors 'none'"


def _announced_bytes(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0
