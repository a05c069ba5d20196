"""The ledger's database: reached, of a known kind, written to, with the tables of this version."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from db.condition import require_writable, server_encoding, server_version
from db.errors import LedgerError
from db.session import MAKE_UTF8, UTF8, Level, Migrations, make_engine, migrations
from worker.doctor.finding import Verdict, failed, ok, skipped
from worker.monitor_parts import impatient_url
from worker.settings import Settings

OLDEST_POSTGRESQL = 13
"""Major version; older ones get no security fixes."""


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """An engine that does not wait for ever; closed afterwards."""
    engine = make_engine(impatient_url(settings.effective_database_url))
    try:
        yield engine
    finally:
        engine.dispose()


def missing_file(settings: Settings) -> Path | None:
    """SQLite's file if it is not there: connecting would make it."""
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    return None if path.is_file() else path


def look_at_database(settings: Settings) -> Verdict:
    """Reached, of which kind and version."""
    if path := missing_file(settings):
        return _not_made(settings, path)
    where = make_url(settings.effective_database_url).render_as_string(hide_password=True)
    try:
        with open_engine(settings) as engine:
            version, encoding = server_version(engine), server_encoding(engine)
    except LedgerError as error:
        return failed(
            f"{where}: {' '.join(str(error).split())}",
            "Start the database, open the way to it, and check database_url (user, password, "
            "host, name).",
        )
    return judge_server(version, encoding, where)


def judge_server(version: str, encoding: str, where: str) -> Verdict:
    """By name and number, and whether it can hold every character."""
    major = re.match(r"PostgreSQL (\d+)", version)
    if major is not None and int(major[1]) < OLDEST_POSTGRESQL:
        return failed(
            f"{version} at {where}", f"Update it to PostgreSQL {OLDEST_POSTGRESQL} or newer."
        )
    if encoding != UTF8:
        return failed(
            f"{version} at {where}: its encoding is {encoding}, which has no place for every name",
            f"Make another database by CREATE DATABASE … {MAKE_UTF8}, and name it in database_url.",
        )
    return ok(f"{version} at {where}")


def look_at_migrations(settings: Settings) -> Verdict:
    """The tables' level, and whether they take writes."""
    if missing_file(settings):
        return skipped("the database is not made yet")
    with open_engine(settings) as engine:
        verdict = judge_migrations(migrations(engine))
        if verdict.remedy:
            return verdict
        try:
            require_writable(engine)
        except LedgerError as error:
            return failed(
                f"the tables cannot be written: {error}",
                "Give the database's user the right to write (owner of the tables), point "
                "database_url at the primary server and not at a replica, and end what holds "
                "locks.",
            )
    return verdict


def judge_migrations(found: Migrations) -> Verdict:
    """How the tables stand to this version."""
    told = f"tables at {found.found or 'no revision'}, this version needs {found.needed}"
    if found.level is Level.CURRENT:
        return ok(f"current ({found.found}), writable")
    if found.level is Level.AHEAD:
        return failed(
            f"ahead: {told}, and does not know them",
            "Install the version of Fracture Screen that made them, or a newer one.",
        )
    return failed(
        f"{found.level}: {told}",
        "Back the database up, stop the services, run `fracture-screen db upgrade`, start them.",
    )


def _not_made(settings: Settings, path: Path) -> Verdict:
    if settings.is_embedded_database:
        return ok(f"SQLite; {path} is not there yet, the first start makes it")
    return failed(
        f"{path} (database_url) is not there",
        "Correct the path, or make the database by `fracture-screen db upgrade`.",
    )
