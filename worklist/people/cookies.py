"""The session's cookie: HttpOnly, for this host only, by https only where that is set.

SameSite=Lax, not Strict: a link from the RIS to a study must find its reader signed in. Nothing is
changed by GET, and whatever changes something asks for the CSRF token besides.
"""

from http.cookies import SimpleCookie

from starlette.requests import HTTPConnection
from starlette.responses import Response

from worklist.parts import Parts, SessionRules

_NAME = "fracture-screen"


def cookie_name(rules: SessionRules) -> str:
    """`__Host-` has browsers refuse one that another host or an http page tries to plant."""
    return f"__Host-{_NAME}" if rules.secure_cookies else _NAME


def token_of(connection: HTTPConnection) -> str:
    """What the browser sent; "": nothing."""
    parts: Parts = connection.app.state.parts
    return connection.cookies.get(cookie_name(parts.sessions), "")


def cookie_header(rules: SessionRules, token: str) -> str:
    """Value of Set-Cookie; the cookie lives as long as the browser, the session ends on its own."""
    cookie = SimpleCookie({cookie_name(rules): token})
    morsel = cookie[cookie_name(rules)]
    morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Lax"
    morsel["secure"] = rules.secure_cookies
    if not token:
        morsel["max-age"] = "0"
    return morsel.OutputString()


def set_session_cookie(response: Response, rules: SessionRules, token: str) -> None:
    """Give the browser a session's token; "": take it away."""
    response.headers.append("set-cookie", cookie_header(rules, token))
