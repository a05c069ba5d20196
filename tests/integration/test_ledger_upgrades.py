"""Every released revision of the tables, with rows in all of them, brought to the newest."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from alembic import command
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Float,
    Integer,
    MetaData,
    Table,
    inspect,
    select,
)

from db.records import DeliveryFilter
from db.session import _alembic_config, is_current, known_revisions, make_engine, upgrade
from db.tables import AuditEvent, Base
from tests.unit.db.ledger_factories import LEASE, Bench, make_conclusion, make_result, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

RELEASED = known_revisions()[:-1]
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS = (0, 1)
Rows = dict[str, list[dict[str, Any]]]  # Any: whatever columns hold


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_there_is_something_to_upgrade_from() -> None:
    assert RELEASED[0] == "0001"
    assert len(RELEASED) >= 5


@pytest.mark.parametrize("revision", RELEASED)
def test_no_row_of_a_released_revision_is_lost_or_changed(
    empty_engine: Engine, revision: str
) -> None:
    before = _make(empty_engine, revision)
    assert not is_current(empty_engine)

    upgrade(empty_engine)

    assert is_current(empty_engine)
    after = _read(empty_engine)
    for table, rows in before.items():
        assert len(rows) == len(ROWS), f"{table} of {revision} was not filled"
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows, f"{table} of {revision}"


@pytest.mark.parametrize("revision", RELEASED)
def test_the_program_goes_on_with_an_upgraded_ledger(empty_engine: Engine, revision: str) -> None:
    _make(empty_engine, revision)
    upgrade(empty_engine)

    bench = Bench(empty_engine)
    study_id = bench.make_ready(study=77)
    queued = bench.ledger.queue_ready_studies(limit=10)
    claim = bench.claim_queued(next(one for one in queued if one.study_id == study_id))
    conclusion = make_conclusion(results=(make_result(study=77),))
    assert bench.ledger.conclude(claim, conclusion, bench.clock())
    (sent,) = bench.ledger.claim_deliveries(claim.study_id, "PACS", "w", LEASE)
    assert sent.sop_instance_uid == make_result(study=77).sop_instance_uid
    summary = bench.ledger.study_summary(study_uid(77))
    assert summary is not None
    assert sum(bench.ledger.status().studies.values()) == len(ROWS) + 1
    assert bench.ledger.count_deliveries(DeliveryFilter()) == len(ROWS) + 1


@pytest.mark.parametrize("revision", [one for one in RELEASED if one >= "0003"])
def test_the_audit_trail_is_append_only_after_every_upgrade(
    empty_engine: Engine, revision: str
) -> None:
    _make(empty_engine, revision)
    upgrade(empty_engine)
    with pytest.raises(Exception, match="append-only"), empty_engine.begin() as connection:
        connection.execute(Base.metadata.tables[AuditEvent.__tablename__].delete())
    with empty_engine.begin() as connection:
        assert len(connection.execute(select(AuditEvent.id)).all()) == len(ROWS)


def _make(engine: Engine, revision: str) -> Rows:
    """The tables of a revision, two rows in each: with every column set, and with what must be."""
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    tables = _tables(engine)
    terms = {table.name: _terms(engine, table) for table in tables}
    with engine.begin() as connection:
        keys: dict[str, list[Any]] = {}
        for table in tables:
            keys[table.name] = [_fill(connection, table, terms, keys, row) for row in ROWS]
    return _read(engine)


def _fill(
    connection: Connection,
    table: Table,
    terms: dict[str, dict[str, list[str]]],
    keys: dict[str, list[Any]],
    row: int,
) -> object:
    values = {
        column.name: _value(column, terms[table.name].get(column.name, []), keys, row)
        for column in table.columns
        if not (column.name == "id" and column.primary_key)
    }
    return connection.execute(table.insert().values(values)).inserted_primary_key[0]  # type: ignore[index]


def _value(column: Column[Any], terms: list[str], keys: dict[str, list[Any]], row: int) -> object:
    if column.nullable and row == 1:
        return None
    for key in column.foreign_keys:
        parents = keys.get(key.column.table.name)  # None: the table itself
        return None if parents is None else parents[row]
    if terms:
        return terms[row % len(terms)]
    for kind, value in (
        (JSON, {"row": row}),
        (Boolean, True),
        (DateTime, _stored(column)),
        (Date, date(2026, 1, 2)),
        (Integer, row + 1),
        (Float, 0.5),
    ):
        if isinstance(column.type, kind):
            return value
    return f"{column.name} {row}"[: getattr(column.type, "length", None)]


def _stored(column: Column[Any]) -> datetime:
    """SQLite keeps no zone."""
    return WHEN if getattr(column.type, "timezone", False) else WHEN.replace(tzinfo=None)


def _terms(engine: Engine, table: Table) -> dict[str, list[str]]:
    """Column → the words that a check of its table allows there."""
    found = {}
    for check in inspect(engine).get_check_constraints(table.name):
        words = re.findall(r"'(\w*)'", check["sqltext"])
        named = [
            one.name for one in table.columns if re.search(rf"\b{one.name}\b", check["sqltext"])
        ]
        if words:
            found[named[0]] = words
    return found


def _read(engine: Engine) -> Rows:
    rows: Rows = {}
    tables = _tables(engine)
    with engine.begin() as connection:
        for table in tables:
            wanted = select(table).order_by(*table.primary_key.columns)
            rows[table.name] = [dict(row._mapping) for row in connection.execute(wanted)]
    return rows


def _tables(engine: Engine) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]
