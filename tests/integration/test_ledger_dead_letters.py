"""Deliveries as operators see them: filtered, replayed, discarded; outdated ones withdrawn."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.dead_letters import DISCARDED, OUTDATED
from db.outcomes import Outcome
from db.records import DeliveryFilter
from db.states import DeliveryState
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

LEASE = timedelta(minutes=5)
OVERLAY, OLD, NEW = make_result(1), make_result(2, kind="report"), make_result(3, kind="report")


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def kill_all(bench: Bench, study_id: int, destination: str = "PACS") -> None:
    for delivery in bench.ledger.claim_deliveries(study_id, destination, "w", LEASE):
        bench.ledger.record_delivery(
            delivery.delivery_id,
            "w",
            sent=False,
            status=0xC000,
            error="refused",
            next_attempt_at=None,
        )


def states(bench: Bench) -> dict[str, DeliveryState]:
    found = bench.ledger.deliveries(DeliveryFilter())
    return {one.sop_instance_uid: one.state for one in found}


def second_revision(bench: Bench, outcome: Outcome = Outcome.POSITIVE) -> int:
    conclusion = make_conclusion(outcome, results=(OVERLAY, NEW))
    return bench.conclude(conclusion, number=2).study_id


def test_deliveries_are_found_by_every_filter(bench: Bench) -> None:
    first = bench.conclude(make_conclusion(results=(OVERLAY,), destinations=("A", "B"))).study_id
    claim = bench.claim(2)
    other = make_conclusion(results=(make_result(1, study=2),), destinations=("A",))
    assert bench.ledger.conclude(claim, other, bench.clock())
    kill_all(bench, first, "B")
    ledger = bench.ledger

    assert ledger.count_deliveries(DeliveryFilter()) == 3
    assert ledger.count_deliveries(DeliveryFilter("A")) == 2
    assert ledger.count_deliveries(DeliveryFilter(states=(DeliveryState.FAILED,))) == 1
    assert ledger.count_deliveries(DeliveryFilter("A", study_instance_uid=study_uid(1))) == 1
    newest, *_ = ledger.deliveries(DeliveryFilter(), limit=1)
    assert newest.study_instance_uid == study_uid(2)
    assert ledger.deliveries(DeliveryFilter(delivery_ids=(newest.delivery_id,))) == [newest]


def test_a_warning_of_the_destination_stays_visible(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OVERLAY, OLD))).study_id
    first, second = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    for delivery, status in ((first, 0xB000), (second, 0)):
        bench.ledger.record_delivery(
            delivery.delivery_id,
            "w",
            sent=True,
            status=status,
            error="0xB000 Warning" if status else "",
            next_attempt_at=None,
        )
    assert bench.ledger.status().sent_with_warning == 1
    (warned,) = bench.ledger.deliveries(DeliveryFilter(with_warning=True))
    assert (warned.state, warned.last_status, warned.last_error) == (
        DeliveryState.SENT,
        0xB000,
        "0xB000 Warning",
    )


def test_only_dead_letters_are_replayed(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OVERLAY,), destinations=("A", "B"))).study_id
    kill_all(bench, study_id, "A")
    assert bench.ledger.replay_deliveries(DeliveryFilter()) == 1
    assert set(states(bench).values()) == {DeliveryState.PENDING}
    assert bench.ledger.replay_deliveries(DeliveryFilter("B")) == 0


def test_discarded_deliveries_are_withdrawn_with_the_reason(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OVERLAY, OLD))).study_id
    kill_all(bench, study_id)
    assert bench.ledger.discard_deliveries(DeliveryFilter("PACS")) == 2
    found = bench.ledger.deliveries(DeliveryFilter())
    assert {(one.state, one.last_error) for one in found} == {(DeliveryState.WITHDRAWN, DISCARDED)}
    assert bench.ledger.due_deliveries(10) == []


def test_what_a_worker_is_sending_cannot_be_discarded(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OVERLAY,))).study_id
    bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    assert bench.ledger.discard_deliveries(DeliveryFilter()) == 0


def test_an_old_report_that_was_never_sent_is_withdrawn_by_the_new_one(bench: Bench) -> None:
    bench.conclude(make_conclusion(results=(OVERLAY, OLD)))
    second_revision(bench)
    assert states(bench) == {
        OVERLAY.sop_instance_uid: DeliveryState.PENDING,
        OLD.sop_instance_uid: DeliveryState.WITHDRAWN,
        NEW.sop_instance_uid: DeliveryState.PENDING,
    }
    withdrawn = bench.ledger.deliveries(DeliveryFilter(states=(DeliveryState.WITHDRAWN,)))
    assert [one.last_error for one in withdrawn] == [OUTDATED]


def test_a_dead_letter_of_an_old_report_is_not_replayed_over_the_new_one(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OLD,))).study_id
    kill_all(bench, study_id)
    second_revision(bench)
    assert bench.ledger.replay_deliveries(DeliveryFilter()) == 0
    assert states(bench)[OLD.sop_instance_uid] is DeliveryState.WITHDRAWN


def test_a_late_instance_alone_withdraws_nothing(bench: Bench) -> None:
    bench.conclude(make_conclusion(results=(OLD,)))
    bench.claim(number=2)
    assert states(bench) == {OLD.sop_instance_uid: DeliveryState.PENDING}


def test_a_failed_revision_leaves_the_earlier_results_to_be_sent(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OLD,))).study_id
    claim = bench.claim(number=2)
    bench.ledger.fail_attempt(claim, "broken", 1)
    claimed = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    assert [one.sop_instance_uid for one in claimed] == [OLD.sop_instance_uid]


def test_what_was_sent_is_not_withdrawn(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OLD,))).study_id
    (delivery,) = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    bench.ledger.record_delivery(
        delivery.delivery_id, "w", sent=True, status=0, error="", next_attempt_at=None
    )
    second_revision(bench)
    assert states(bench)[OLD.sop_instance_uid] is DeliveryState.SENT


def test_an_old_report_under_way_is_withdrawn_only_when_its_try_failed(bench: Bench) -> None:
    study_id = bench.conclude(make_conclusion(results=(OLD,))).study_id
    (delivery,) = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    second_revision(bench)
    assert states(bench)[OLD.sop_instance_uid] is DeliveryState.PENDING
    bench.ledger.record_delivery(
        delivery.delivery_id,
        "w",
        sent=False,
        status=None,
        error="gone",
        next_attempt_at=bench.clock(),
    )
    claimed = bench.ledger.claim_deliveries(study_id, "PACS", "w", LEASE)
    assert OLD.sop_instance_uid not in {one.sop_instance_uid for one in claimed}
    assert states(bench)[OLD.sop_instance_uid] is DeliveryState.WITHDRAWN


def test_a_withdrawn_object_that_is_wanted_again_is_sent(bench: Bench) -> None:
    bench.conclude(make_conclusion(results=(OLD,)))
    second_revision(bench)
    bench.conclude(make_conclusion(results=(OLD,)), number=3)
    assert states(bench)[OLD.sop_instance_uid] is DeliveryState.PENDING
    assert states(bench)[NEW.sop_instance_uid] is DeliveryState.WITHDRAWN
