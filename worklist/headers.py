"""stand-in: part A. What holds for every answer: where scripts come from, who may frame it."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; object-src 'self'; form-action 'self'; base-uri 'none'; "
)


async def add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Those that the answer does not have yet."""
    response = await call_next(request)
    is_pdf = response.headers.get("content-type", "").startswith("application/pdf")
    ancestors = "frame-ancestors 'self'" if is_pdf else "frame-ancestors 'none'"
    response.headers.setdefault("Content-Security-Policy", POLICY + ancestors)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response
