"""Sent is not kept: confirmations asked for, matched by transaction, asked for again, given up."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.records import ClaimedConfirmation, DeliveryFilter, DeliveryRecord, DueDelivery
from db.states import DeliveryState
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

LEASE = timedelta(minutes=5)
ASK_AGAIN = timedelta(minutes=15)
FIRST, SECOND = make_result(1).sop_instance_uid, make_result(2).sop_instance_uid


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def study_id(bench: Bench) -> int:
    """A study whose two results were sent to a destination that confirms."""
    results = (make_result(1), make_result(2))
    study_id = bench.conclude(make_conclusion(results=results)).study_id
    send(bench, study_id)
    return study_id


def send(bench: Bench, study_id: int) -> None:
    for delivery in bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE):
        bench.ledger.record_delivery(
            delivery.delivery_id,
            "w",
            sent=True,
            status=0,
            error="",
            next_attempt_at=None,
            confirm_at=bench.clock(),
        )


def ask(bench: Bench, study_id: int, transaction: str) -> list[ClaimedConfirmation]:
    return bench.ledger.claim_confirmations(study_id, "PACS", transaction, ASK_AGAIN)


def rows(bench: Bench) -> dict[str, DeliveryRecord]:
    found = bench.ledger.deliveries(DeliveryFilter())
    return {one.sop_instance_uid: one for one in found}


def states(bench: Bench) -> list[DeliveryState]:
    return [rows(bench)[uid].state for uid in (FIRST, SECOND)]


def test_what_was_sent_is_due_for_confirmation_once_per_study(bench: Bench, study_id: int) -> None:
    assert bench.ledger.due_confirmations(10) == [DueDelivery(study_id, "PACS")]
    assert bench.ledger.due_confirmations(10) == []
    claimed = ask(bench, study_id, "2.25.1")
    assert [(one.sop_instance_uid, one.attempts) for one in claimed] == [(FIRST, 1), (SECOND, 1)]
    assert {one.study_instance_uid for one in claimed} == {study_uid(1)}


def test_a_destination_without_confirmation_is_never_asked(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(make_result(1),))).study_id
    (delivery,) = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    bench.ledger.record_delivery(
        delivery.delivery_id, "w", sent=True, status=0, error="", next_attempt_at=None
    )
    assert bench.ledger.due_confirmations(10) == []
    assert ask(bench, study_id, "2.25.1") == []


def test_what_the_destination_keeps_is_committed(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    assert bench.ledger.record_confirmation("2.25.1", [FIRST, SECOND], {})
    assert states(bench) == [DeliveryState.COMMITTED] * 2
    assert rows(bench)[FIRST].confirmed_at == bench.clock()
    bench.clock.forward(ASK_AGAIN)
    assert bench.ledger.due_confirmations(10) == []


def test_what_the_destination_lost_is_a_dead_letter_with_the_reason(
    bench: Bench, study_id: int
) -> None:
    ask(bench, study_id, "2.25.1")
    bench.ledger.record_confirmation("2.25.1", [FIRST], {SECOND: "it does not have it"})
    assert states(bench) == [DeliveryState.COMMITTED, DeliveryState.FAILED]
    assert rows(bench)[SECOND].last_error == "it does not have it"
    assert bench.ledger.replay_deliveries(DeliveryFilter("PACS")) == 1
    assert states(bench) == [DeliveryState.COMMITTED, DeliveryState.PENDING]


def test_silence_is_followed_by_a_new_transaction(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    bench.clock.forward(ASK_AGAIN - timedelta(seconds=1))
    assert bench.ledger.due_confirmations(10) == []
    bench.clock.forward(timedelta(seconds=1))
    assert bench.ledger.due_confirmations(10) == [DueDelivery(study_id, "PACS")]
    assert [one.attempts for one in ask(bench, study_id, "2.25.2")] == [2, 2]


def test_a_late_answer_to_an_earlier_request_still_counts(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    ask(bench, study_id, "2.25.2")
    assert bench.ledger.record_confirmation("2.25.1", [FIRST, SECOND], {})
    assert states(bench) == [DeliveryState.COMMITTED] * 2


def test_a_late_failure_of_an_earlier_request_is_not_believed(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    ask(bench, study_id, "2.25.2")
    assert bench.ledger.record_confirmation("2.25.1", [], {FIRST: "lost"})
    assert states(bench) == [DeliveryState.SENT] * 2


def test_a_transaction_that_nobody_opened_changes_nothing(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    assert not bench.ledger.record_confirmation("2.25.666", [FIRST], {SECOND: "lost"})
    assert states(bench) == [DeliveryState.SENT] * 2


def test_a_transaction_cannot_confirm_objects_of_another_study(bench: Bench, study_id: int) -> None:
    claim = bench.claim(2)
    other = make_result(1, study=2)
    assert bench.ledger.conclude(claim, make_conclusion(results=(other,)), bench.clock())
    send(bench, claim.study_id)
    ask(bench, study_id, "2.25.1")
    bench.ledger.record_confirmation("2.25.1", [other.sop_instance_uid], {})
    assert rows(bench)[other.sop_instance_uid].state is DeliveryState.SENT


def test_a_request_that_could_not_be_made_is_made_again_later(bench: Bench, study_id: int) -> None:
    ask(bench, study_id, "2.25.1")
    bench.ledger.postpone_confirmation(
        "2.25.1", bench.clock() + timedelta(seconds=30), "no connection"
    )
    assert rows(bench)[FIRST].last_error == "no connection"
    bench.clock.forward(timedelta(seconds=30))
    assert bench.ledger.due_confirmations(10) == [DueDelivery(study_id, "PACS")]


def test_an_open_circuit_keeps_confirmations_back_too(bench: Bench, study_id: int) -> None:
    bench.ledger.record_unreachable("PACS", "gone", 1, timedelta(minutes=1))
    assert bench.ledger.due_confirmations(10) == []
    assert ask(bench, study_id, "2.25.1") == []
    bench.clock.forward(timedelta(minutes=1))
    assert bench.ledger.due_confirmations(10) == [DueDelivery(study_id, "PACS")]
