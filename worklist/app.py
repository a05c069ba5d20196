"""The web application: pages, their static files, and what holds for every answer."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from worklist.parts import Parts

_STATIC = Path(__file__).parent / "static"


def make_app(parts: Parts) -> FastAPI:
    """An application over these parts; it opens and starts nothing."""
    app = FastAPI(title="Fracture Screen worklist", docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app
