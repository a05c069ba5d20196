"""The worklist, with pages to try access at."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import Engine, text

from db.accounts import AccountRecord, Accounts
from db.audit import AuditRecord, Trail, Wanted
from db.states import Role
from dicom_node.image_label import ImageLabel
from tests.correctors import corrector_over
from tests.unit.db.ledger_factories import ManualClock
from worklist.app import make_app
from worklist.parts import Parts, SessionRules, TrustedProxy
from worklist.people import passwords
from worklist.people.access import Admin, CsrfChecked, Reader

PASSWORD = "Canary-Passw0rt-für-alle"
HOST = "worklist.test"
ADDRESS = "192.0.2.7"
RULES = SessionRules(
    idle=timedelta(minutes=30),
    longest=timedelta(hours=12),
    failures_to_lock=3,
    lock=timedelta(minutes=15),
    secure_cookies=True,
)
PROXY = TrustedProxy(("10.0.0.5", "10.1.0.0/28"), "X-Forwarded-User")

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2id as everywhere, without the effort that only guessers should pay."""


class NoPictures:
    """Nothing here shows any."""

    def radiograph(self, path: str, frame_number: int) -> bytes:
        raise AssertionError(path)

    def heatmap(self, path: str, rows: int, columns: int) -> bytes:
        raise AssertionError(path)

    def heatmap_source(self, path: str) -> tuple[str, int]:
        raise AssertionError(path)

    def label(self, path: str) -> ImageLabel:
        raise AssertionError(path)

    def report(self, path: str) -> bytes:
        raise AssertionError(path)


@dataclass
class Site:
    """An application over a ledger."""

    engine: Engine
    folder: Path
    rules: SessionRules = RULES
    proxy: TrustedProxy | None = None
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.parts = Parts(
            engine=self.engine,
            clock=self.clock,
            pictures=NoPictures(),
            data_folder=self.folder,
            time_zone=ZoneInfo("Europe/Berlin"),
            viewer_url="",
            corrector=corrector_over(self.engine, self.clock, self.folder),
            sessions=self.rules,
            trusted_proxy=self.proxy,
        )
        self.accounts = Accounts(self.engine, self.clock)
        self.trail = Trail(self.engine, self.clock)
        self.app = make_app(self.parts)
        _add_probes(self.app)

    def with_proxy(self, proxy: TrustedProxy | None = PROXY) -> "Site":
        return replace(self, proxy=proxy)

    def browser(self, address: str = ADDRESS, scheme: str = "https") -> "Browser":
        return Browser(self, address, scheme)

    def add(self, name: str, role: Role = Role.READER) -> AccountRecord:
        hashed = passwords.hash_password(PASSWORD, name)
        return self.accounts.add(name, role, hashed, "test@here")

    def events(self, action: str = "") -> list[AuditRecord]:
        """Oldest first."""
        return list(self.trail.all(Wanted(action=action)))

    def everything_stored(self) -> str:
        with self.engine.begin() as connection:
            return "\n".join(
                str(tuple(row))
                for table in ("account", "web_session", "audit_event")
                for row in connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
            )


class Browser:
    """Keeps cookies, and says where its requests come from as browsers do."""

    def __init__(self, site: Site, address: str, scheme: str) -> None:
        self.site = site
        self.client = TestClient(
            site.app,
            base_url=f"{scheme}://{HOST}",
            client=(address, 50000),
            raise_server_exceptions=False,
            follow_redirects=False,
        )
        self.origin = {"Origin": f"{scheme}://{HOST}"}

    def get(self, path: str, **headers: str) -> Response:
        return self.client.get(path, headers=as_headers(headers))

    def post(self, path: str, data: dict[str, str] | None = None, **headers: str) -> Response:
        return self.client.post(path, data=data, headers={**self.origin, **as_headers(headers)})

    def sign_in(self, name: str, password: str = PASSWORD, next_path: str = "/probe") -> Response:
        return self.post("/sign-in", {"name": name, "password": password, "next": next_path})

    def csrf_token(self) -> str:
        return str(self.get("/probe").json()["csrf_token"])

    @property
    def token(self) -> str:
        return self.client.cookies.get("__Host-fracture-screen", "")


def as_headers(given: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def _add_probes(app: FastAPI) -> None:
    @app.get("/probe")
    @app.get("/api/probe")
    def probe(who: Reader) -> dict[str, Any]:
        return {"name": who.name, "csrf_token": who.csrf_token}

    @app.get("/admin-probe")
    @app.get("/api/admin-probe")
    def admin_probe(who: Admin) -> dict[str, Any]:
        return {"name": who.name}

    @app.post("/probe", dependencies=[CsrfChecked])
    def change(who: Reader) -> dict[str, Any]:
        return {"changed": who.name}

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("a probe that breaks")
