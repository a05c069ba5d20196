"""What is shown where no page can be: a page for browsers, JSON for programs."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from db.errors import LedgerUnavailable
from worklist.templating import page

_RETRY_S = "5"
_WORDS = {
    400: "The request cannot be understood",
    403: "That is not yours to do",
    404: "There is nothing here",
    409: "It changed meanwhile",
    422: "The request cannot be understood",
    503: "The ledger does not answer",
}


def install(app: FastAPI) -> None:
    """For every page of the application."""
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(LedgerUnavailable, _unavailable)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, StarletteHTTPException):
        raise error
    if _wants_json(request) or error.status_code < 400 or error.status_code == 401:
        return await http_exception_handler(request, error)
    return _page(request, error.status_code, str(error.detail), error.headers or {})


async def _misunderstood(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    if _wants_json(request):
        return await request_validation_exception_handler(request, error)
    return _page(request, 422, "A value in it is missing or not of its kind.", {})


async def _unavailable(request: Request, _error: Exception) -> Response:
    headers = {"Retry-After": _RETRY_S}
    words = "The database cannot be reached. Nothing is lost; try again in a moment."
    if _wants_json(request):
        return JSONResponse({"detail": words}, 503, headers)
    return _page(request, 503, words, headers)


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _page(request: Request, status: int, detail: str, headers: Mapping[str, str]) -> Response:
    heading = _WORDS.get(status, HTTPStatus(status).phrase)
    response = page(
        request, "trouble.html", None, status_code=status, heading=heading, detail=detail
    )
    response.headers.update(headers)
    return response
