"""A database that is full, locked, gone or restarted: nothing half stored, and a clear error."""

import contextlib
import multiprocessing
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from db.errors import LedgerError, LedgerUnavailable
from db.ledger import Ledger
from db.records import RegistrationKind
from db.session import is_current, make_engine
from db.states import StudyState
from tests.servers.postgresql import PrivatePostgresql
from tests.unit.db.ledger_factories import Bench, make_instance

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")


def test_a_full_disk_refuses_instances_and_loses_none_that_were_accepted(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    engine = make_engine(f"sqlite:///{path}")
    bench = Bench(engine)
    with engine.connect() as connection:
        # The limit is the connection's: the bench gets this same one back from the pool.
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
    accepted = _register_until_refused(bench)
    with pytest.raises(LedgerUnavailable, match="disk is full"):
        bench.register(4711)
    assert len(list(bench.ledger.instance_paths())) == accepted
    assert bench.ledger.status().studies[StudyState.RECEIVING] == accepted
    engine.dispose()


def test_a_locked_sqlite_file_is_an_error_that_says_so(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.session._SQLITE_BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    engine = make_engine(f"sqlite:///{path}")
    bench = Bench(engine)
    other = create_engine(f"sqlite:///{path}").connect()
    other.exec_driver_sql("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="database is locked"):
        bench.register()
    other.close()
    bench.register()
    engine.dispose()


def test_a_postgresql_that_does_not_answer_is_an_error_that_says_what_to_check() -> None:
    engine = make_engine("postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing")
    ledger = Ledger(engine, lambda: datetime.now(UTC))
    with pytest.raises(LedgerUnavailable, match="check that it runs") as caught:
        ledger.register_instance(make_instance())
    assert "secret" not in str(caught.value)
    with pytest.raises(LedgerUnavailable, match="check that it runs"):
        is_current(engine)


def test_missing_tables_are_an_error_that_names_the_command(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with pytest.raises(LedgerError, match="fracture-screen db upgrade"):
        Ledger(engine, lambda: datetime.now(UTC)).status()
    engine.dispose()


def test_the_ledger_works_again_after_postgresql_restarted(
    postgresql_server: PrivatePostgresql, migrated_postgresql: str
) -> None:
    with postgresql_server.database(migrated_postgresql) as name:
        engine = make_engine(postgresql_server.url(name))
        bench = Bench(engine)
        bench.register(1)
        postgresql_server.end_all_connections()
        bench.register(2)
        assert bench.ledger.status().studies[StudyState.RECEIVING] == 2
        engine.dispose()


def test_a_connection_lost_within_a_transaction_stores_nothing(
    postgresql_server: PrivatePostgresql,
    migrated_postgresql: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with postgresql_server.database(migrated_postgresql) as name:
        engine = make_engine(postgresql_server.url(name))
        bench = Bench(engine)

        def cut(session: object, *_: object) -> int:
            session.execute(text("SELECT 1"))  # type: ignore[attr-defined]
            postgresql_server.end_all_connections()
            session.execute(text("SELECT 1"))  # type: ignore[attr-defined]
            raise AssertionError("the connection was not cut")

        with monkeypatch.context() as patch:
            patch.setattr("db.intake._open_study", cut)
            with pytest.raises(LedgerUnavailable):
                bench.register(1)
        assert bench.ledger.register_instance(make_instance()).kind == RegistrationKind.ACCEPTED
        engine.dispose()


def test_a_killed_process_takes_no_accepted_instance_with_it(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    accepted, sender = context.Pipe(duplex=False)
    listener = context.Process(target=_register_without_end, args=(database_url, sender))
    listener.start()
    sender.close()
    uids = [accepted.recv() for _ in range(20)]
    listener.kill()
    listener.join()
    with contextlib.suppress(EOFError):
        while True:
            uids.append(accepted.recv())
    engine = make_engine(database_url)
    stored = [uid for uid, _ in Ledger(engine, lambda: datetime.now(UTC)).instance_paths()]
    # One more may have been stored whose acceptance was never told.
    assert stored[: len(uids)] == uids
    assert len(stored) <= len(uids) + 1
    engine.dispose()


def _register_without_end(url: str, accepted: Connection) -> None:
    ledger = Ledger(make_engine(url), lambda: datetime.now(UTC))
    for number in count():
        ledger.register_instance(make_instance(1, number))
        accepted.send(make_instance(1, number).sop_instance_uid)


def _register_until_refused(bench: Bench) -> int:
    for accepted in range(1000):
        try:
            bench.register(accepted)
        except LedgerUnavailable:
            return accepted
    raise AssertionError("the disk never became full")
