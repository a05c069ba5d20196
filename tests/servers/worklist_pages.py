"""The quality board alone, over any ledger, for whoever asks."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from worker.composition import utc_now
from worklist.app import make_app
from worklist.pages import quality
from worklist.parts import Parts, Pictures, SessionRules


def app_of(
    engine: Engine,
    folder: Path,
    *,
    clock: Callable[[], datetime] = utc_now,
    zone: str = "Europe/Berlin",
) -> FastAPI:
    """stand-in: part B includes the routers, part A says who may look."""
    parts = Parts(
        engine=engine,
        clock=clock,
        pictures=cast(Pictures, None),
        data_folder=folder,
        time_zone=ZoneInfo(zone),
        viewer_url="",
        sessions=cast(SessionRules, None),
        trusted_proxy=None,
    )
    app = make_app(parts)
    app.include_router(quality.router)
    return app


def client_of(
    engine: Engine, folder: Path, *, clock: Callable[[], datetime] = utc_now
) -> TestClient:
    """Asks it without a network."""
    return TestClient(app_of(engine, folder, clock=clock))
