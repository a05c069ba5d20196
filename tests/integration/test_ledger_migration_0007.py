"""Analyses of version 0006, brought to 0007: what was half analysed becomes INCOMPLETE."""

from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.outcomes import Outcome
from db.session import _alembic_config, make_engine, upgrade
from tests.unit.db.ledger_factories import Bench

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


ROWS = (
    "INSERT INTO study (id, study_instance_uid, state, revision, attempts, interruptions,"
    " calling_ae_title, received_at, last_instance_at, state_changed_at, failure_reason)"
    " VALUES (:id, :uid, 'SCREENED', 1, 1, 0, 'CR', :t, :t, :t, '')",
    "INSERT INTO instance (id, study_id, series_instance_uid, sop_instance_uid, sop_class_uid,"
    " transfer_syntax_uid, calling_ae_title, path, sha256, size, received_at)"
    " VALUES (:id, :id, '1.2.3', :uid, '1', '1', 'CR', :uid, 's', 1, :t)",
    "INSERT INTO analysis (id, study_id, revision, model_name, model_version, model_digest,"
    " outcome, reason, probability, started_at, finished_at)"
    " VALUES (:id, :id, 1, 'm', '1', 'd', 'NOT_ANALYSED', 'r', NULL, :t, :t)",
    "INSERT INTO finding (id, analysis_id, sop_instance_uid, frame_number, analysed, reason,"
    " operating_point) VALUES (:id, :id, :uid, 0, :analysed, '', '')",
)


def test_half_analysed_studies_become_incomplete_and_the_checks_know_it(
    empty_database_url: str,
) -> None:
    engine = make_engine(empty_database_url)
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        for study, analysed in ((1, True), (2, False)):
            given = {"id": study, "uid": f"1.{study}", "analysed": analysed, "t": WHEN}
            for row in ROWS:
                connection.execute(text(row), given)

    upgrade(engine)

    ledger = Bench(engine).ledger
    outcomes = [getattr(ledger.study_summary(f"1.{study}"), "outcome", None) for study in (1, 2)]
    assert outcomes == [Outcome.INCOMPLETE, Outcome.NOT_ANALYSED]
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE analysis SET outcome = 'PERHAPS'"))
    engine.dispose()
    again = make_engine(empty_database_url)
    with again.begin() as connection:
        connection.execute(text("UPDATE analysis SET outcome = 'INCOMPLETE'"))
    again.dispose()
