"""A private PostgreSQL for the tests: own folder, own port, no socket, by default not durable."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.servers.ports import free_port

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PrivatePostgresql:
    """A running server; its databases are named, made and dropped here."""

    def __init__(self, port: int, pg_ctl: Path, data: Path) -> None:
        self.port = port
        self._pg_ctl, self._data = pg_ctl, data
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """The database's URL, as the ledger takes it."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template1", options: LiteralString = "") -> Iterator[str]:
        """A fresh copy of the template, dropped afterwards; yields its name."""
        name = f"ledger_{next(self._numbers)}"
        self._run(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.SQL(options)
            )
        )
        try:
            yield name
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self, pause_s: float = 0, *, crash: bool = False) -> None:
        """Stop the server as an administrator does, or by a crash; wait, start it again.

        In a crash a server that is not durable may lose what was committed last.
        """
        how = "immediate" if crash else "fast"
        _call([self._pg_ctl, "-D", self._data, "-m", how, "-w", "stop"])
        time.sleep(pause_s)
        _call([self._pg_ctl, "-D", self._data, "-l", self._data.parent / "log", "-w", "start"])

    def end_all_connections(self) -> None:
        """Cut off every client, with the server running on."""
        self._run(
            sql.SQL(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        )

    def _run(self, statement: sql.SQL | sql.Composed) -> None:
        conninfo = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def private_postgresql(*, durable: bool = False) -> Iterator[PrivatePostgresql]:
    """Start a server in a temporary folder; stop it and remove the folder afterwards."""
    programs = _programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="fracture-screen-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data, port = folder / "data", free_port()
        _call(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        )
        with (data / "postgresql.conf").open("a") as settings:
            chosen = _SETTINGS if durable else _SETTINGS | _NOT_DURABLE
            settings.writelines(f"{key} = '{value}'\n" for key, value in chosen.items())
            settings.write(f"port = {port}\n")
        _call([programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "start"])
        try:
            yield PrivatePostgresql(port, programs / "pg_ctl", data)
        finally:
            _call([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PrivatePostgresql]:
    """One server for the whole test session."""
    with private_postgresql() as server:
        yield server


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _call(command: Sequence[str | Path]) -> None:
    # PostgreSQL refuses to run as root.
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_postgres, *map(str, command)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
