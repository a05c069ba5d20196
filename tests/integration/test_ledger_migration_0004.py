"""A study with an instance and an analysis of version 0003, brought to 0004."""

from alembic import command
from sqlalchemy import text

from db.outcomes import Outcome
from db.session import _alembic_config, make_engine, upgrade
from tests.unit.db.ledger_factories import Bench

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

WHEN = {"t": "2026-01-02 03:04:05.000000"}
ROWS = (
    "INSERT INTO study (id, study_instance_uid, state, revision, attempts, interruptions,"
    " calling_ae_title, received_at, last_instance_at, state_changed_at, failure_reason)"
    " VALUES (1, '1.2', 'SCREENED', 1, 1, 0, 'CR', :t, :t, :t, '')",
    "INSERT INTO instance (id, study_id, series_instance_uid, sop_instance_uid, sop_class_uid,"
    " transfer_syntax_uid, calling_ae_title, path, sha256, size, received_at)"
    " VALUES (1, 1, '1.2.3', '1.2.3.4', '1', '1', 'CR', 'p', 's', 1, :t)",
    "INSERT INTO analysis (id, study_id, revision, model_name, model_version, model_digest,"
    " outcome, reason, probability, started_at, finished_at)"
    " VALUES (1, 1, 1, 'm', '1', 'd', 'NEGATIVE', '', 0.1, :t, :t)",
)


def test_what_was_screened_before_sweeps_was_triage(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for row in ROWS:
            connection.execute(text(row), WHEN)

    upgrade(engine)

    summary = Bench(engine).ledger.study_summary("1.2")
    assert summary is not None
    assert (summary.instance_count, summary.outcome) == (1, Outcome.NEGATIVE)
    with engine.begin() as connection:
        swept = connection.execute(text("SELECT s.sweep_id, a.sweep_id FROM study s, analysis a"))
        assert swept.all() == [(None, None)]
    engine.dispose()
