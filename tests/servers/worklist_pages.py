"""The worklist's pages over any ledger, for a reader who has signed in."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.correctors import corrector_over
from tests.worklist_people import session_cookie
from worker.composition import utc_now
from worklist.app import make_app
from worklist.parts import Parts, Pictures, SessionRules


def app_of(
    engine: Engine,
    folder: Path,
    *,
    clock: Callable[[], datetime] = utc_now,
    zone: str = "Europe/Berlin",
) -> FastAPI:
    """The worklist over a ledger, without files."""
    parts = Parts(
        engine=engine,
        clock=clock,
        pictures=cast(Pictures, None),
        data_folder=folder,
        time_zone=ZoneInfo(zone),
        viewer_url="",
        corrector=corrector_over(engine, clock, folder),
        sessions=SessionRules(timedelta(1), timedelta(1), 5, timedelta(1), secure_cookies=False),
        trusted_proxy=None,
    )
    return make_app(parts)


def client_of(
    engine: Engine, folder: Path, *, clock: Callable[[], datetime] = utc_now
) -> TestClient:
    """Asks it without a network."""
    app = app_of(engine, folder, clock=clock)
    return TestClient(app, cookies=session_cookie(app.state.parts))
