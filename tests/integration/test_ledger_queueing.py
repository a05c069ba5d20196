"""Readiness, the outbox and leases, under a clock that the tests move."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.failure_reasons import FailureReason
from db.outcomes import Outcome
from db.records import QueuedStudy
from db.states import StudyState
from tests.unit.db.ledger_factories import (
    LEASE,
    QUIET,
    Bench,
    instance_uid,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

SECOND = timedelta(seconds=1)
OVERDUE = timedelta(minutes=5)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_a_study_is_ready_once_it_was_quiet_for_the_whole_period(bench: Bench) -> None:
    bench.register()
    bench.clock.forward(QUIET - SECOND)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 0
    bench.clock.forward(SECOND)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 1
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 0
    assert bench.state() == StudyState.READY


def test_each_instance_begins_the_quiet_period_anew(bench: Bench) -> None:
    bench.register(1, 1)
    bench.clock.forward(QUIET - SECOND)
    bench.register(1, 2)
    bench.clock.forward(SECOND)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 0


def test_studies_are_queued_once_each_and_the_longest_waiting_first(bench: Bench) -> None:
    expected = [bench.make_ready(study) for study in (3, 1, 2)]
    assert [queued.study_id for queued in bench.ledger.queue_ready_studies(2)] == expected[:2]
    assert [queued.study_id for queued in bench.ledger.queue_ready_studies(2)] == expected[2:]
    assert bench.ledger.queue_ready_studies(2) == []


def test_a_queued_study_that_nobody_claims_is_published_again(bench: Bench) -> None:
    queued = bench.queue()
    bench.clock.forward(OVERDUE - SECOND)
    assert bench.ledger.requeue_unclaimed(OVERDUE, limit=10) == []
    bench.clock.forward(SECOND)
    assert bench.ledger.requeue_unclaimed(OVERDUE, limit=10) == [queued]
    assert bench.ledger.requeue_unclaimed(OVERDUE, limit=10) == [], "not at once again"
    bench.clock.forward(OVERDUE)
    assert bench.ledger.requeue_unclaimed(OVERDUE, limit=10) == [queued]


def test_a_claimed_study_is_not_published_again(bench: Bench) -> None:
    bench.claim()
    bench.clock.forward(LEASE * 2)
    assert bench.ledger.requeue_unclaimed(OVERDUE, limit=10) == []


def test_a_claim_lists_the_instances_by_series_and_uid(bench: Bench) -> None:
    for number in (10, 9, 2):
        bench.register(1, number)
    bench.clock.forward(QUIET)
    ready_at = bench.clock()
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(1)
    bench.clock.forward(SECOND)
    claim = bench.claim_queued(queued)
    uids = [instance.sop_instance_uid for instance in claim.instances]
    assert uids == sorted(instance_uid(1, number) for number in (10, 9, 2))
    assert (claim.study_instance_uid, claim.attempt, claim.ready_at) == (study_uid(1), 1, ready_at)
    first = make_instance(1, 10)
    assert (claim.instances[0].path, claim.instances[0].sha256) == (first.path, first.sha256)


def test_a_study_is_claimed_by_one_worker_only(bench: Bench) -> None:
    queued = bench.queue()
    bench.claim_queued(queued)
    assert bench.ledger.claim_study(queued.study_id, queued.revision, "worker-2", LEASE) is None


def test_a_message_of_a_former_revision_claims_nothing(bench: Bench) -> None:
    old = bench.conclude()
    new = bench.queue(number=2)
    assert (new.study_id, new.revision) == (old.study_id, 2)
    assert bench.ledger.claim_study(old.study_id, old.revision, "worker-2", LEASE) is None
    assert bench.claim_queued(new).revision == 2


def test_a_message_of_an_unknown_study_claims_nothing(bench: Bench) -> None:
    assert bench.ledger.claim_study(4711, 1, "worker-1", LEASE) is None


def test_a_message_that_overtakes_the_quiet_period_claims_nothing(bench: Bench) -> None:
    queued = bench.queue()
    bench.register(1, 2)
    assert bench.ledger.claim_study(queued.study_id, queued.revision, "worker-1", LEASE) is None


def test_a_running_lease_is_left_alone(bench: Bench) -> None:
    bench.claim()
    bench.clock.forward(LEASE - SECOND)
    assert bench.ledger.release_expired_leases(max_attempts=3) == []
    assert bench.state() == StudyState.SCREENING


def test_a_dead_workers_study_is_queued_again_and_its_late_conclusion_refused(
    bench: Bench,
) -> None:
    claim = bench.claim()
    bench.clock.forward(LEASE)
    (released,) = bench.ledger.release_expired_leases(max_attempts=3)
    assert (released.study_id, released.state) == (claim.study_id, StudyState.QUEUED)
    assert released.study_instance_uid == study_uid(1)
    second = bench.claim_queued(QueuedStudy(released.study_id, released.revision), "worker-2")
    assert second.attempt == 2
    assert not bench.ledger.conclude(claim, make_conclusion(), bench.clock())
    assert bench.ledger.conclude(second, make_conclusion(), bench.clock())


def test_a_poison_study_ends_failed_with_a_visible_outcome(bench: Bench) -> None:
    queued = bench.queue()
    states = []
    for _ in range(3):
        bench.claim_queued(queued)
        bench.clock.forward(LEASE)
        states += [released.state for released in bench.ledger.release_expired_leases(3)]
    assert states == [StudyState.QUEUED, StudyState.QUEUED, StudyState.FAILED]
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.outcome == Outcome.FAILED
    assert summary.reason == FailureReason.WORKER_ENDED
    assert summary.failure_reason == summary.reason


def test_late_instances_that_interrupt_a_worker_use_up_no_attempts(bench: Bench) -> None:
    for number in range(1, 6):
        bench.claim(number=number)
    bench.clock.forward(LEASE)
    (released,) = bench.ledger.release_expired_leases(max_attempts=2)
    assert released.state == StudyState.QUEUED
    bench.claim_queued(QueuedStudy(released.study_id, released.revision))
    bench.clock.forward(LEASE)
    (released,) = bench.ledger.release_expired_leases(max_attempts=2)
    assert released.state == StudyState.FAILED


def test_work_is_unfinished_from_the_first_instance_to_the_last_confirmation(bench: Bench) -> None:
    ledger = bench.ledger
    assert not ledger.has_unfinished_work()
    bench.register()
    assert ledger.has_unfinished_work()
    bench.clock.forward(QUIET)
    ledger.mark_quiet_studies_ready(QUIET)
    assert ledger.has_unfinished_work()
    (queued,) = ledger.queue_ready_studies(limit=10)
    assert ledger.has_unfinished_work()
    claim = bench.claim_queued(queued)
    assert ledger.has_unfinished_work()
    ledger.conclude(claim, make_conclusion(results=(make_result(1),)), bench.clock())
    assert ledger.has_unfinished_work()
    (delivery,) = ledger.claim_deliveries(claim.study_id, "PACS", "w", LEASE)
    assert ledger.has_unfinished_work()
    answer = {"status": 0, "error": "", "next_attempt_at": None}
    ledger.record_delivery(
        delivery.delivery_id, "w", sent=True, confirm_at=bench.clock.forward(LEASE), **answer
    )
    assert ledger.has_unfinished_work()
    ledger.claim_confirmations(claim.study_id, "PACS", "1.2.3", LEASE)
    ledger.record_confirmation("1.2.3", [make_result(1).sop_instance_uid], {})
    assert not ledger.has_unfinished_work()


def test_what_failed_for_good_is_not_unfinished(bench: Bench) -> None:
    bench.ledger.fail_attempt(bench.claim(), "broke", 1)
    assert not bench.ledger.has_unfinished_work()
    bench.ledger.retry_failed(study_uid(1))
    assert bench.ledger.has_unfinished_work()
