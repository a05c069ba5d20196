"""Tables of version 0001 with deliveries in every state, brought to 0002."""

from alembic import command
from sqlalchemy import inspect, text

from db.records import DeliveryFilter
from db.session import _alembic_config, is_current, make_engine, upgrade
from db.states import DeliveryState
from tests.unit.db.ledger_factories import Bench

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

STATES = ("PENDING", "SENT", "COMMITTED", "FAILED")


def test_deliveries_of_0001_keep_what_they_say_and_can_be_withdrawn(
    empty_database_url: str,
) -> None:
    engine = make_engine(empty_database_url)
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        _fill(connection.execute)
    assert not is_current(engine)

    upgrade(engine)

    assert is_current(engine)
    ledger = Bench(engine).ledger
    found = ledger.deliveries(DeliveryFilter())
    assert sorted((one.state, one.last_error, one.attempts) for one in found) == sorted(
        (state, f"was {state}", 3) for state in STATES
    )
    assert {(one.confirm_at, one.confirm_attempts, one.transaction_uid) for one in found} == {
        (None, 0, None)
    }
    assert ledger.discard_deliveries(DeliveryFilter()) == 2
    assert ledger.count_deliveries(DeliveryFilter(states=(DeliveryState.WITHDRAWN,))) == 2
    inspector = inspect(engine)
    assert {"commitment_request", "circuit"} <= set(inspector.get_table_names())
    assert [key["referred_table"] for key in inspector.get_foreign_keys("delivery")] == [
        "result_object"
    ]
    engine.dispose()


def _fill(execute) -> None:  # type: ignore[no-untyped-def]
    when = "2026-01-02 03:04:05.000000"
    execute(
        text(
            "INSERT INTO study (id, study_instance_uid, state, revision, attempts, interruptions,"
            " calling_ae_title, received_at, last_instance_at, state_changed_at, failure_reason)"
            " VALUES (1, '1.2', 'SCREENED', 1, 1, 0, 'CR', :t, :t, :t, '')"
        ),
        {"t": when},
    )
    for number, state in enumerate(STATES, 1):
        execute(
            text(
                "INSERT INTO result_object (id, study_id, sop_instance_uid, series_instance_uid,"
                " sop_class_uid, kind, path, sha256, size, created_at)"
                " VALUES (:n, 1, :uid, '2.25.1', '1.2.3', 'report', :uid, 'ab', 1, :t)"
            ),
            {"n": number, "uid": f"2.25.{number}", "t": when},
        )
        execute(
            text(
                "INSERT INTO delivery (id, result_object_id, destination, state, attempts,"
                " last_error) VALUES (:n, :n, 'PACS', :state, 3, :error)"
            ),
            {"n": number, "state": state, "error": f"was {state}"},
        )
