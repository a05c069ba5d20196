"""The engine, and the migrations against the tables that the code believes in."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect, text

from db.errors import LedgerError, LedgerOutOfDate
from db.session import is_current, make_engine, require_current, upgrade
from db.tables import Base

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_the_migrated_tables_are_those_of_the_code(ledger_engine: Engine) -> None:
    with ledger_engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrated_checks_are_those_of_the_code(ledger_engine: Engine) -> None:
    inspector = inspect(ledger_engine)
    for table in Base.metadata.sorted_tables:
        declared = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
        migrated = {check["name"] for check in inspector.get_check_constraints(table.name)}
        assert migrated == declared, table.name


def test_a_check_allows_every_member_of_its_enumeration(ledger_engine: Engine) -> None:
    inspector = inspect(ledger_engine)
    for table in Base.metadata.sorted_tables:
        texts = " ".join(c["sqltext"] for c in inspector.get_check_constraints(table.name))
        for column in table.columns:
            for term in getattr(column.type, "enums", ()):
                assert f"'{term}'" in texts, f"{table.name}.{column.name} refuses {term}"


def test_an_empty_database_is_not_current_until_it_is_upgraded(empty_engine: Engine) -> None:
    assert not is_current(empty_engine)
    with pytest.raises(LedgerOutOfDate, match="run `fracture-screen db upgrade`"):
        require_current(empty_engine)
    upgrade(empty_engine)
    assert is_current(empty_engine)
    require_current(empty_engine)


def test_an_upgrade_of_current_tables_changes_nothing(ledger_engine: Engine) -> None:
    upgrade(ledger_engine)
    assert is_current(ledger_engine)


def test_tables_of_a_newer_version_are_refused(ledger_engine: Engine) -> None:
    with ledger_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not is_current(ledger_engine)
    for attempt in (upgrade, require_current):
        with pytest.raises(LedgerOutOfDate, match="9999, which this version"):
            attempt(ledger_engine)


def test_an_upgrade_that_breaks_leaves_no_tables(empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE TABLE finding (id INTEGER)"))
    with pytest.raises(LedgerError, match="already exists"):
        upgrade(empty_engine)
    assert inspect(empty_engine).get_table_names() == ["finding"]


def test_processes_that_upgrade_at_once_take_turns(empty_database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        assert pool.map(_upgrade_in_process, [empty_database_url] * 4) == [True] * 4


def test_sqlite_keeps_what_it_committed(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/ledger.sqlite3")
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    with engine.begin() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]
    assert found == ["wal", 2, 1, 30000]
    engine.dispose()


def test_sqlite_takes_the_write_lock_before_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    engine = make_engine(f"sqlite:///{path}")
    other = sqlite3.connect(path, timeout=0)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def test_connections_that_open_a_new_sqlite_file_at_once_all_succeed(tmp_path: Path) -> None:
    for run in range(20):
        url, together = f"sqlite:///{tmp_path}/{run}.sqlite3", Barrier(8)
        with ThreadPoolExecutor(8) as threads:
            modes = threads.map(_journal_mode, [url] * 8, [together] * 8)
            assert list(modes) == ["wal"] * 8


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/ledger"])
def test_a_database_that_cannot_hold_a_ledger_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="ledger"):
        make_engine(url)


def test_making_an_engine_connects_to_nothing(tmp_path: Path) -> None:
    make_engine(f"sqlite:///{tmp_path}/missing/ledger.sqlite3")
    make_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")


def _journal_mode(url: str, together: Barrier) -> object:
    engine = make_engine(url)
    together.wait()
    with engine.begin() as connection:
        mode: object = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    engine.dispose()
    return mode


def _upgrade_in_process(url: str) -> bool:
    engine = make_engine(url)
    upgrade(engine)
    return is_current(engine)
