"""A copy of the whole ledger, made beside its users, and put into an empty database again.

SQLite by its online backup, PostgreSQL by its own pg_dump and pg_restore.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, func, inspect, select, text
from sqlalchemy.engine import URL

from db.errors import LedgerError
from db.session import database_errors, transaction
from db.tables import Base, Instance, ResultObject, WebSession

_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that the ledger says is in the data folder: path relative to it, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LedgerCopy:
    """What a copy of the ledger holds."""

    files: Sequence[NamedFile]
    """Received instances and results, without those that were purged."""
    counts: Mapping[str, int]
    """Table → rows."""


def copy_ledger(engine: Engine, target: Path) -> LedgerCopy:
    """Copy the ledger as it is at one moment into the new file `target`; nobody has to wait.

    LedgerError: PostgreSQL's tools are missing or refuse.
    """
    copied = _copied_sqlite if engine.dialect.name == "sqlite" else _copied_postgresql
    with database_errors(), copied(engine, target) as connection:
        return LedgerCopy(_named_files(connection), _counts(connection))


def restore_ledger(engine: Engine, source: Path, counts: Mapping[str, int]) -> None:
    """Put a copy into an empty database, with all that it held; sign-ins end.

    LedgerError: PostgreSQL's tools are missing or refuse, or rows are missing afterwards.
    """
    if engine.dialect.name == "sqlite":
        _restore_sqlite(engine, source)
    else:
        _run("pg_restore", engine.url, "--exit-on-error", "--single-transaction", str(source))
    with database_errors(), engine.connect() as connection:
        for table, count in counts.items():
            found = connection.scalar(text(f'SELECT count(*) FROM "{_known(table)}"'))  # noqa: S608
            if found != count:
                raise LedgerError(f"{found} rows of {table} were restored, the copy had {count}")
    if "web_session" in counts:
        with transaction(engine) as session:
            session.execute(delete(WebSession))


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table; a SQLite file need not exist, and is not made."""
    if engine.dialect.name == "sqlite":
        file = _sqlite_file(engine)
        if not file.exists() or not file.stat().st_size:
            return True
    with database_errors():
        return not inspect(engine).get_table_names()


def _named_files(connection: Connection) -> list[NamedFile]:
    return [
        NamedFile(*row)
        for table in (Instance, ResultObject)
        for row in connection.execute(
            select(table.path, table.size, table.sha256).where(table.purged_at.is_(None))
        )
    ]


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def _known(table: str) -> str:
    """Never other text into a statement: the manifest may come from anywhere."""
    if not table.isidentifier():
        raise LedgerError(f"{table!r} is no name of a table")
    return table


@contextmanager
def _copied_sqlite(engine: Engine, target: Path) -> Iterator[Connection]:
    # In one step: a reader of a write-ahead log sees one moment and keeps no writer waiting.
    with closing(engine.raw_connection()) as source, closing(sqlite3.connect(target)) as copy:
        original: Any = source.driver_connection  # Any: of the driver, here sqlite3's
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    _sync(target)
    reader = create_engine(f"sqlite:///file:{target.resolve()}?mode=ro&uri=true")
    try:
        with reader.connect() as connection:
            yield connection
    finally:
        reader.dispose()


@contextmanager
def _copied_postgresql(engine: Engine, target: Path) -> Iterator[Connection]:
    # pg_dump reads the snapshot of this transaction, so that both see the same rows.
    frozen = engine.execution_options(isolation_level="REPEATABLE READ")
    with frozen.connect() as connection, connection.begin():
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        _run("pg_dump", engine.url, "--format=custom", f"--snapshot={snapshot}", f"--file={target}")
        _sync(target)
        yield connection


def _restore_sqlite(engine: Engine, source: Path) -> None:
    file = _sqlite_file(engine)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_name(f"{file.name}.part")
    shutil.copyfile(source, unfinished)
    unfinished.chmod(0o600)
    _sync(unfinished)
    unfinished.replace(file)


def _run(program: str, url: URL, *arguments: str) -> None:
    if shutil.which(program) is None:
        raise LedgerError(
            f"{program} is missing, which copies a PostgreSQL database: install the package "
            "postgresql-client (Debian), not older than the server"
        )
    # The password goes by the environment: arguments can be seen by everybody on the machine.
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    to = f"--dbname={bare.render_as_string(hide_password=False)}"
    done = subprocess.run(
        [program, "--no-owner", "--no-privileges", to, *arguments],
        env={**os.environ, **secret},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=24 * _HOUR_S,
        check=False,
    )
    if done.returncode:
        raise LedgerError(f"{program} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")


def _sqlite_file(engine: Engine) -> Path:
    return Path(str(engine.url.database))


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
