"""The web application: pages, their static files, and what holds for every answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from worklist.headers import protect
from worklist.pages import (
    api,
    events,
    people,
    pictures,
    quality,
    quarantine,
    sign_in,
    studies,
    study,
    trouble,
)
from worklist.pages.reading import Reading
from worklist.parts import Parts
from worklist.people.refusals import answer_refusals

_STATIC = Path(__file__).parent / "static"


def make_app(parts: Parts) -> FastAPI:
    """An application over these parts; it opens and starts nothing until it is served."""
    app = FastAPI(
        title="Fracture Screen worklist",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # api.py gives it to those who have signed in
        lifespan=_lifespan,
    )
    app.state.parts = parts
    app.state.reading = Reading.over(parts)
    trouble.install(app)
    answer_refusals(app)
    for page in (sign_in, studies, study, pictures, events, api, quality, people, quarantine):
        app.include_router(page.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    protect(app)
    return app


def stop_streams(app: FastAPI) -> None:
    """End what would never end by itself; for whoever stops the server."""
    app.state.reading.conclusions.stop()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.reading.conclusions.start()
    try:
        yield
    finally:
        stop_streams(app)
