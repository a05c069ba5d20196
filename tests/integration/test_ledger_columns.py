"""What both databases give back of times and hostile text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from db.states import StudyState
from db.tables import Study

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

INDIA = timezone(timedelta(hours=5, minutes=30))


def make_study(received_at: datetime, failure_reason: str = "") -> Study:
    return Study(
        study_instance_uid="1.2.3",
        state=StudyState.RECEIVING,
        calling_ae_title="MODALITY",
        received_at=received_at,
        last_instance_at=received_at,
        state_changed_at=received_at,
        failure_reason=failure_reason,
    )


def test_a_time_in_any_zone_comes_back_as_the_same_moment_in_utc(ledger_engine: Engine) -> None:
    moment = datetime(2024, 3, 1, 2, 30, 0, 123456, tzinfo=INDIA)
    with Session(ledger_engine) as session, session.begin():
        session.add(make_study(moment))
    with Session(ledger_engine) as session, session.begin():
        stored = session.scalars(select(Study)).one().received_at
    assert stored == moment
    assert stored.tzinfo == UTC


def test_times_are_compared_as_moments_not_as_text(ledger_engine: Engine) -> None:
    moment = datetime(2024, 3, 1, 2, 30, tzinfo=INDIA)
    with Session(ledger_engine) as session, session.begin():
        session.add(make_study(moment))
    later = datetime(2024, 2, 29, 21, 0, 0, 1, tzinfo=UTC)
    with Session(ledger_engine) as session, session.begin():
        assert session.scalars(select(Study).where(Study.received_at < later)).one()
        assert not session.scalars(select(Study).where(Study.received_at > later)).all()


def test_a_time_without_a_zone_is_refused(ledger_engine: Engine) -> None:
    naive = datetime(2024, 3, 1)
    with (
        pytest.raises(StatementError, match="pass an aware datetime"),
        Session(ledger_engine) as session,
        session.begin(),
    ):
        session.add(make_study(naive))


def test_text_that_a_database_cannot_hold_is_stored_with_replacements(
    ledger_engine: Engine,
) -> None:
    with Session(ledger_engine) as session, session.begin():
        session.add(make_study(datetime.now(UTC), "NUL \0, surrogate \udcff, 漢字, 'quote'; --"))
    with Session(ledger_engine) as session, session.begin():
        stored = session.scalars(select(Study)).one().failure_reason
    assert stored == "NUL \ufffd, surrogate ?, 漢字, 'quote'; --"
