"""Failed studies of version 0006, brought to 0009."""

import pytest
from alembic import command
from sqlalchemy import text

from db.failure_reasons import FailureReason
from db.session import _alembic_config, make_engine, upgrade
from tests.unit.db.ledger_factories import Bench

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

WHEN = {"t": "2026-01-02 03:04:05.000000"}


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("screening broke with FileNotFoundError", FailureReason.FILE_MISSING),
        ("screening broke with ValueError", FailureReason.INTERNAL),
        (
            "gave up after 3 attempts: the worker died or ran out of time",
            FailureReason.WORKER_ENDED,
        ),
        ("the bundle was changed", "the bundle was changed"),
    ],
)
def test_reasons_of_earlier_failures_read_as_those_of_today(
    empty_database_url: str, stored: str, shown: str
) -> None:
    engine = make_engine(empty_database_url)
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        values = WHEN | {"reason": stored}
        connection.execute(
            text(
                "INSERT INTO study (id, study_instance_uid, state, revision, attempts,"
                " interruptions, calling_ae_title, received_at, last_instance_at,"
                " state_changed_at, failure_reason)"
                " VALUES (1, '1.2', 'FAILED', 1, 3, 0, 'CR', :t, :t, :t, :reason)"
            ),
            values,
        )
        connection.execute(
            text(
                "INSERT INTO analysis (id, study_id, revision, model_name, model_version,"
                " model_digest, outcome, reason, started_at, finished_at)"
                " VALUES (1, 1, 1, '', '', '', 'FAILED', :reason, :t, :t)"
            ),
            values,
        )

    upgrade(engine)

    summary = Bench(engine).ledger.study_summary("1.2")
    assert summary is not None
    assert (summary.failure_reason, summary.reason) == (shown, shown)
    engine.dispose()
