"""The databases that every test of the ledger runs on: SQLite and PostgreSQL, fresh per test.

Use by `pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.session import make_engine, upgrade
from tests.servers.postgresql import PrivatePostgresql

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield _sqlite_url(tmp_path / "ledger.sqlite3")
        return
    server: PrivatePostgresql = request.getfixturevalue("postgresql_server")
    with server.database() as name:
        yield server.url(name)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the ledger's tables, and nothing in them."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite3"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield _sqlite_url(path)
        return
    server: PrivatePostgresql = request.getfixturevalue("postgresql_server")
    with server.database(request.getfixturevalue("migrated_postgresql")) as name:
        yield server.url(name)


@pytest.fixture
def ledger_engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`, disposed of afterwards."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.sqlite3"
    _upgrade(_sqlite_url(path))
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PrivatePostgresql) -> Iterator[str]:
    """The name of a database to copy."""
    with postgresql_server.database() as name:
        _upgrade(postgresql_server.url(name))
        yield name


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def _upgrade(url: str) -> None:
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
