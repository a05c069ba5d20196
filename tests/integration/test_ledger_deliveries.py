"""Deliveries: due in groups, claimed once, sent or retried or dead."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.records import ClaimedDelivery, DeliveryFilter, DeliverySummary, DueDelivery
from db.states import DeliveryState
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

HOLD = timedelta(minutes=2)
LEASE = timedelta(minutes=5)
BACKOFF = timedelta(minutes=10)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def study_id(bench: Bench) -> int:
    """A study with two result objects for each of two destinations."""
    results = (make_result(1), make_result(2))
    claim = bench.conclude(make_conclusion(results=results, destinations=("PACS", "RESEARCH")))
    return claim.study_id


def claim(
    bench: Bench, study_id: int, destination: str = "PACS", owner: str = "a"
) -> list[ClaimedDelivery]:
    return bench.ledger.claim_deliveries(study_id, destination, owner, LEASE)


def record_failure(bench: Bench, delivery: ClaimedDelivery, owner: str = "a") -> None:
    bench.ledger.record_delivery(
        delivery.delivery_id,
        owner,
        sent=False,
        status=0xA700,
        error="out of resources",
        next_attempt_at=bench.clock() + BACKOFF,
    )


def record_sent(bench: Bench, delivery: ClaimedDelivery, owner: str = "a") -> None:
    bench.ledger.record_delivery(
        delivery.delivery_id, owner, sent=True, status=0, error="", next_attempt_at=None
    )


def record_dead(bench: Bench, delivery: ClaimedDelivery) -> None:
    bench.ledger.record_delivery(
        delivery.delivery_id, "a", sent=False, status=0x0122, error="refused", next_attempt_at=None
    )


def summaries(bench: Bench, destination: str = "PACS") -> list[DeliverySummary]:
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    deliveries = [delivery for result in summary.results for delivery in result.deliveries]
    return [delivery for delivery in deliveries if delivery.destination == destination]


def test_a_study_is_due_once_per_destination(bench: Bench, study_id: int) -> None:
    due = bench.ledger.due_deliveries(limit=10, hold=HOLD)
    assert due == [DueDelivery(study_id, "PACS"), DueDelivery(study_id, "RESEARCH")]


def test_no_more_groups_come_out_than_asked_for(bench: Bench, study_id: int) -> None:
    assert bench.ledger.due_deliveries(limit=1) == [DueDelivery(study_id, "PACS")]
    assert bench.ledger.due_deliveries(limit=1) == [DueDelivery(study_id, "RESEARCH")]


def test_a_published_group_comes_again_only_after_the_hold(bench: Bench, study_id: int) -> None:
    bench.ledger.due_deliveries(limit=10, hold=HOLD)
    assert bench.ledger.due_deliveries(limit=10, hold=HOLD) == []
    bench.clock.forward(HOLD)
    assert len(bench.ledger.due_deliveries(limit=10, hold=HOLD)) == 2


def test_a_published_group_can_be_claimed_by_one_worker(bench: Bench, study_id: int) -> None:
    bench.ledger.due_deliveries(limit=10, hold=HOLD)
    claimed = claim(bench, study_id, owner="a")
    assert [(delivery.path, delivery.attempts) for delivery in claimed] == [
        (make_result(1).path, 1),
        (make_result(2).path, 1),
    ]
    assert claim(bench, study_id, owner="b") == []
    assert len(claim(bench, study_id, "RESEARCH", owner="b")) == 2


def test_a_claimed_group_is_not_due_until_the_lease_ends(bench: Bench, study_id: int) -> None:
    claim(bench, study_id)
    claim(bench, study_id, "RESEARCH")
    bench.clock.forward(LEASE - timedelta(seconds=1))
    assert bench.ledger.due_deliveries(limit=10) == []
    bench.clock.forward(timedelta(seconds=1))
    assert len(bench.ledger.due_deliveries(limit=10)) == 2
    assert [delivery.attempts for delivery in claim(bench, study_id, owner="b")] == [2, 2]


def test_what_was_sent_is_never_due_again(bench: Bench, study_id: int) -> None:
    for delivery in claim(bench, study_id):
        record_sent(bench, delivery)
    sent_at = bench.clock()
    bench.clock.forward(LEASE * 100)
    assert claim(bench, study_id) == []
    assert bench.ledger.due_deliveries(limit=10) == [DueDelivery(study_id, "RESEARCH")]
    assert [(d.state, d.sent_at, d.last_status) for d in summaries(bench)] == [
        (DeliveryState.SENT, sent_at, 0)
    ] * 2


def test_a_failed_attempt_waits_for_its_time_alone(bench: Bench, study_id: int) -> None:
    first, second = claim(bench, study_id)
    record_sent(bench, first)
    record_failure(bench, second)
    bench.clock.forward(BACKOFF - timedelta(seconds=1))
    assert claim(bench, study_id) == []
    bench.clock.forward(timedelta(seconds=1))
    assert DueDelivery(study_id, "PACS") in bench.ledger.due_deliveries(limit=10)
    (again,) = claim(bench, study_id)
    assert (again.delivery_id, again.attempts) == (second.delivery_id, 2)
    assert (summaries(bench)[1].last_status, summaries(bench)[1].last_error) == (
        0xA700,
        "out of resources",
    )


def test_without_a_next_attempt_a_delivery_is_dead(bench: Bench, study_id: int) -> None:
    for delivery in claim(bench, study_id):
        record_dead(bench, delivery)
    bench.clock.forward(LEASE * 100)
    assert claim(bench, study_id) == []
    assert bench.ledger.status().deliveries[DeliveryState.FAILED] == 2
    assert {delivery.last_error for delivery in summaries(bench)} == {"refused"}


def test_dead_letters_are_replayed_per_destination(bench: Bench, study_id: int) -> None:
    for destination in ("PACS", "RESEARCH"):
        for delivery in claim(bench, study_id, destination):
            record_dead(bench, delivery)
    assert bench.ledger.replay_deliveries(DeliveryFilter("PACS")) == 2
    assert bench.ledger.due_deliveries(limit=10) == [DueDelivery(study_id, "PACS")]
    assert [delivery.attempts for delivery in claim(bench, study_id)] == [1, 1]
    assert bench.ledger.replay_deliveries(DeliveryFilter()) == 2


def test_a_worker_that_lost_its_lease_records_nothing(bench: Bench, study_id: int) -> None:
    old = claim(bench, study_id, owner="a")
    bench.clock.forward(LEASE)
    new = claim(bench, study_id, owner="b")
    record_dead(bench, old[0])
    assert bench.ledger.status().deliveries[DeliveryState.FAILED] == 0
    record_sent(bench, new[0], "b")
    record_failure(bench, old[0], "a")
    assert bench.ledger.status().deliveries[DeliveryState.SENT] == 1


def test_a_published_group_can_be_claimed_at_once_after_a_failed_attempt_of_another(
    bench: Bench, study_id: int
) -> None:
    first, _ = claim(bench, study_id)
    record_failure(bench, first)
    bench.clock.forward(max(LEASE, BACKOFF))
    bench.ledger.due_deliveries(limit=10)
    assert len(claim(bench, study_id, owner="b")) == 2
