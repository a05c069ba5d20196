"""One dead destination: its circuit opens for all workers, others go on, one probe at a time."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.records import CircuitSummary, DueDelivery
from db.states import CircuitState
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

PAUSE = timedelta(seconds=30)
LEASE = timedelta(minutes=5)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    """Three studies, each with one result for a dead and for a healthy destination."""
    bench = Bench(ledger_engine)
    for study in (1, 2, 3):
        claim = bench.claim(study)
        conclusion = make_conclusion(
            results=(make_result(1, study),), destinations=("DEAD", "HEALTHY")
        )
        assert bench.ledger.conclude(claim, conclusion, bench.clock())
    return bench


def fail(bench: Bench, times: int = 1, destination: str = "DEAD") -> CircuitState:
    for _ in range(times):
        state = bench.ledger.record_unreachable(destination, "no connection", 3, PAUSE)
    return state


def due(bench: Bench, limit: int = 10) -> dict[str, int]:
    names = [one.destination for one in bench.ledger.due_deliveries(limit, timedelta(minutes=2))]
    return {name: names.count(name) for name in names}


def test_a_circuit_opens_at_the_threshold_only(bench: Bench) -> None:
    assert fail(bench, 2) is CircuitState.CLOSED
    assert fail(bench) is CircuitState.OPEN
    (summary,) = bench.ledger.status().circuits
    retry_at = bench.clock() + PAUSE
    assert summary == CircuitSummary("DEAD", CircuitState.OPEN, 3, retry_at, "no connection")


def test_an_answer_in_between_starts_the_count_again(bench: Bench) -> None:
    fail(bench, 2)
    assert bench.ledger.record_reachable("DEAD") is False
    assert fail(bench, 2) is CircuitState.CLOSED


def test_nothing_is_due_for_an_open_circuit_and_all_of_the_others(bench: Bench) -> None:
    fail(bench, 3)
    assert due(bench) == {"HEALTHY": 3}


def test_the_dead_destination_takes_no_place_in_a_full_batch(bench: Bench) -> None:
    fail(bench, 3)
    assert due(bench, limit=3) == {"HEALTHY": 3}


def test_a_destination_that_is_probed_takes_one_place_beside_a_full_batch(bench: Bench) -> None:
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    assert due(bench, limit=3) == {"HEALTHY": 3, "DEAD": 1}


def test_after_the_pause_one_study_is_let_through_as_a_probe(bench: Bench) -> None:
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    assert bench.ledger.status().circuits[0].state is CircuitState.HALF_OPEN
    assert due(bench) == {"HEALTHY": 3, "DEAD": 1}
    assert due(bench) == {}


def test_a_probe_that_succeeds_lets_all_through(bench: Bench) -> None:
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    assert due(bench)["DEAD"] == 1
    assert bench.ledger.record_reachable("DEAD") is True
    assert due(bench) == {"DEAD": 2}
    assert bench.ledger.status().circuits == []


def test_a_probe_that_fails_opens_the_circuit_again(bench: Bench) -> None:
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    assert fail(bench) is CircuitState.OPEN
    assert "DEAD" not in due(bench)
    bench.clock.forward(PAUSE)
    assert due(bench) == {"DEAD": 1}


def test_messages_published_before_the_circuit_opened_are_turned_away(bench: Bench) -> None:
    published = bench.ledger.due_deliveries(10)
    fail(bench, 3)
    dead = [one for one in published if one.destination == "DEAD"]
    assert len(dead) == 3
    for one in dead:
        assert bench.ledger.claim_deliveries(one.study_id, "DEAD", "w", LEASE) == []
    bench.ledger.record_reachable("DEAD")
    # Turned away is not lost: they need not wait for the hold of their message.
    assert due(bench) == {"DEAD": 3}


def test_two_probes_are_never_under_way_at_once(bench: Bench) -> None:
    published = [one for one in bench.ledger.due_deliveries(10) if one.destination == "DEAD"]
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    first, second, _ = published
    assert len(bench.ledger.claim_deliveries(first.study_id, "DEAD", "a", LEASE)) == 1
    assert bench.ledger.claim_deliveries(second.study_id, "DEAD", "b", LEASE) == []


def test_a_probe_whose_message_was_lost_is_followed_by_another(bench: Bench) -> None:
    fail(bench, 3)
    bench.clock.forward(PAUSE)
    assert due(bench)["DEAD"] == 1
    bench.clock.forward(timedelta(minutes=2))
    assert due(bench)["DEAD"] == 1


def test_a_healthy_destination_is_claimed_as_before(bench: Bench) -> None:
    fail(bench, 3)
    (first, *_) = [one for one in bench.ledger.due_deliveries(10) if one.destination == "HEALTHY"]
    assert first == DueDelivery(first.study_id, "HEALTHY")
    assert len(bench.ledger.claim_deliveries(first.study_id, "HEALTHY", "w", LEASE)) == 1
