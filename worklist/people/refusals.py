"""How whoever may not is answered: people by a page, programs by a JSON problem (RFC 9457)."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from worklist.people.access import RequestRefused, SignInNeeded
from worklist.templating import page


def answer_refusals(app: FastAPI) -> None:
    """Register the answers with an application."""
    app.add_exception_handler(RequestRefused, _answer)
    app.add_exception_handler(SignInNeeded, _send_to_sign_in)


def _answer(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RequestRefused)  # noqa: S101  # that is what it is registered for
    response = _page(request, refusal) if _is_person(request) else _problem(refusal)
    response.headers.update(refusal.headers or {})
    return response


def _send_to_sign_in(request: Request, needed: Exception) -> Response:
    assert isinstance(needed, SignInNeeded)  # noqa: S101  # that is what it is registered for
    return Response(status_code=needed.status_code, headers=needed.headers)


def _is_person(request: Request) -> bool:
    to_api = request.url.path.startswith("/api/")
    return not to_api and "text/html" in request.headers.get("accept", "")


def _page(request: Request, refusal: RequestRefused) -> Response:
    return page(
        request,
        "refused.html",
        refusal.who,
        status_code=refusal.status_code,
        heading=HTTPStatus(refusal.status_code).phrase,
        reason=refusal.detail,
    )


def _problem(refusal: RequestRefused) -> Response:
    content = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status_code).phrase,
        "status": refusal.status_code,
        "detail": refusal.detail,
    }
    return JSONResponse(content, refusal.status_code, media_type="application/problem+json")
