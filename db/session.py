"""The engine for a database URL, and its tables brought up to date. No queries on the ledger."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from db.errors import LedgerError, LedgerInconsistent, LedgerOutOfDate, LedgerUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

UTF8 = "UTF8"
"""As PostgreSQL names it."""
MAKE_UTF8 = "ENCODING 'UTF8' TEMPLATE template0"
"""The end of a CREATE DATABASE, whatever the server's default is."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_SQLITE_BUSY_TIMEOUT_S = 30
_SQLITE_RETRY_S = 0.02
# Any constant: it names the lock that upgrades of this program's ledger take.
_UPGRADE_LOCK = 0x46524143
_READS_ONLY = {"fracture_screen_reads_only": True}


class Level(StrEnum):
    """How a ledger's tables stand to those of this version of the program."""

    EMPTY = "empty"
    """There are none yet."""
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"
    """A newer version made them."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """Revisions of the tables: what was found, what this version needs, and all that it knows."""

    found: str | None
    needed: str | None
    known: frozenset[str]

    @property
    def level(self) -> Level:
        """How they stand to each other."""
        if self.found is None:
            return Level.EMPTY
        if self.found == self.needed:
            return Level.CURRENT
        return Level.BEHIND if self.found in self.known else Level.AHEAD


def make_engine(url: str) -> Engine:
    """An engine for `sqlite:////path/ledger.sqlite3` or `postgresql+psycopg://…`.

    Connects to nothing yet. A SQLite file must lie on a local disk: its write-ahead log needs
    shared memory. LedgerError: another kind of database, or SQLite in memory.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    if backend != "sqlite":
        raise LedgerError(
            f"no ledger can be kept in {backend!r}: use a sqlite:// or postgresql+psycopg:// URL"
        )
    if parsed.database in (None, "", ":memory:"):
        raise LedgerError("a ledger in memory is lost on exit: give the SQLite URL a file's path")
    timeout = {"timeout": _SQLITE_BUSY_TIMEOUT_S}
    engine = create_engine(parsed, connect_args=timeout, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def upgrade(engine: Engine) -> None:
    """Bring the tables up to date, all or nothing; processes that do so at once take turns.

    Tables that are up to date cost one query: Alembic is imported for an upgrade only.

    LedgerOutOfDate: a newer version of the program made the tables. LedgerError: the database
    cannot hold every character.
    """
    if is_current(engine):
        return
    from alembic import command
    from alembic.util.exc import CommandError

    config = _alembic_config()
    with database_errors(), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            _require_utf8(connection)
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        _refuse_newer_tables(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise LedgerError(f"the ledger's tables could not be upgraded: {error}") from error


def _require_utf8(connection: Connection) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != UTF8:
        raise LedgerError(
            f"the database's encoding is {encoding}, which has no place for every name: make "
            f"another by CREATE DATABASE … {MAKE_UTF8}"
        )


def is_current(engine: Engine) -> bool:
    """Whether the tables are those of this version of the program.

    LedgerUnavailable: the database cannot be asked.
    """
    with database_errors(), engine.execution_options(**_READS_ONLY).connect() as connection:
        return _revision(connection) == _head()


def migrations(engine: Engine) -> Migrations:
    """How the tables stand; looks only. LedgerUnavailable: the database cannot be asked."""
    with database_errors(), engine.execution_options(**_READS_ONLY).connect() as connection:
        return Migrations(_revision(connection), _head(), frozenset(known_revisions()))


def require_current(engine: Engine) -> None:
    """Raise LedgerOutOfDate unless the tables are those of this version of the program."""
    with database_errors(), engine.begin() as connection:
        _refuse_newer_tables(connection)
        revision = _revision(connection)
    if revision != _head():
        raise LedgerOutOfDate(
            f"the ledger's tables are at revision {revision or 'none'}, this version of Fracture "
            f"Screen needs {_head()}: run `fracture-screen db upgrade`"
        )


def revision_of(engine: Engine) -> str | None:
    """Of the tables as they are; None: there are none."""
    with database_errors(), engine.execution_options(**_READS_ONLY).connect() as connection:
        return _revision(connection)


def known_revisions() -> tuple[str, ...]:
    """All that this version of the program can bring up to date, oldest first.

    A migration's file is named after its revision: `v0006_retention.py` makes revision 0006.
    """
    names = sorted(file.name for file in (_MIGRATIONS / "versions").glob("v*.py"))
    return tuple(found[1] for name in names if (found := re.match(r"v(\d+)_", name)))


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session whose work is committed at the end, or undone by an exception."""
    with database_errors(), Session(engine) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only reads: on SQLite it takes no lock, so that it keeps no writer waiting."""
    with database_errors(), Session(engine.execution_options(**_READS_ONLY)) as session:
        yield session


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise what the database refuses within as LedgerUnavailable or LedgerInconsistent."""
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise LedgerInconsistent(
            f"the ledger refused a row ({error.orig}): the same thing was stored before, "
            "or a value does not fit its column"
        ) from error
    except (DBAPIError, PoolTimeoutError) as error:
        cause = getattr(error, "orig", None) or error
        raise LedgerUnavailable(
            f"the ledger's database cannot be used ({cause}): check that it runs and can be "
            "reached, that its disk is not full, and that `fracture-screen db upgrade` was run"
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions by itself: _begin_immediate does.
    connection.isolation_level = None
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection) -> None:
    # SQLite doesn't wait for its busy timeout when two processes turn a new file to WAL at once.
    deadline = time.monotonic() + _SQLITE_BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_SQLITE_RETRY_S)


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and then writes gets BUSY at once, whatever the timeout.
    reads_only = _READS_ONLY.items() <= connection.get_execution_options().items()
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _refuse_newer_tables(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision not in known_revisions():
        raise LedgerOutOfDate(
            f"the ledger's tables are at revision {revision}, which this version of Fracture "
            "Screen does not know: install the version that made them, or a newer one"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _head() -> str:
    return known_revisions()[-1]


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
