"""Conclusions: all of it or nothing of it, one current analysis, frozen results reused."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.errors import LedgerInconsistent
from db.outcomes import Outcome
from db.records import NewFinding
from db.states import DeliveryState, StudyState
from tests.unit.db.ledger_factories import (
    LEASE,
    Bench,
    instance_uid,
    make_conclusion,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

FOUND = NewFinding(instance_uid(1, 1), 1, True, "", 0.93, "specific", 120, 340)
PASSED_OVER = NewFinding(instance_uid(1, 2), 0, False, "not a CR or DX image")


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_a_conclusion_is_read_back_as_it_was_given(bench: Bench) -> None:
    claim = bench.claim()
    started_at = bench.clock()
    finished_at = bench.clock.forward(timedelta(seconds=2))
    results = (make_result(1), make_result(2, kind="report"))
    conclusion = make_conclusion(
        Outcome.POSITIVE, results, ("PACS", "RESEARCH"), (FOUND, PASSED_OVER), "definite"
    )
    assert bench.ledger.conclude(claim, conclusion, started_at)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.state == StudyState.SCREENED
    assert (summary.outcome, summary.probability, summary.reason) == ("POSITIVE", 0.9, "definite")
    assert summary.analysis is not None
    assert summary.analysis.findings == (FOUND, PASSED_OVER)
    assert (summary.analysis.started_at, summary.analysis.finished_at) == (started_at, finished_at)
    assert [(result.kind, result.path) for result in summary.results] == [
        (result.kind, result.path) for result in results
    ]
    destinations = [[d.destination for d in result.deliveries] for result in summary.results]
    assert destinations == [["PACS", "RESEARCH"], ["PACS", "RESEARCH"]]


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_failed_outcome_leaves_the_study_failed(bench: Bench, outcome: Outcome) -> None:
    bench.conclude(make_conclusion(outcome, reason="no model"))
    failed = outcome == Outcome.FAILED
    assert bench.state() == (StudyState.FAILED if failed else StudyState.SCREENED)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.failure_reason == ("no model" if failed else "")
    assert bench.ledger.status().analyses[outcome] == 1


def test_a_study_is_concluded_once_per_claim(bench: Bench) -> None:
    claim = bench.conclude()
    assert not bench.ledger.conclude(claim, make_conclusion(Outcome.NEGATIVE), bench.clock())
    assert bench.ledger.status().analyses[Outcome.POSITIVE] == 1
    assert bench.ledger.status().analyses[Outcome.NEGATIVE] == 0


def test_a_worker_that_overran_its_lease_may_conclude_while_nobody_took_the_study(
    bench: Bench,
) -> None:
    claim = bench.claim()
    bench.clock.forward(LEASE * 2)
    assert bench.ledger.conclude(claim, make_conclusion(), bench.clock())
    assert bench.ledger.release_expired_leases(max_attempts=3) == []


def test_the_next_revision_supersedes_the_former_analysis(bench: Bench) -> None:
    bench.conclude(make_conclusion(Outcome.POSITIVE))
    bench.conclude(make_conclusion(Outcome.NEGATIVE), number=2)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.analysis is not None
    assert (summary.analysis.revision, summary.outcome) == (2, Outcome.NEGATIVE)
    assert sum(bench.ledger.status().analyses.values()) == 1


def test_a_known_result_object_keeps_its_frozen_bytes_and_its_deliveries(bench: Bench) -> None:
    bench.conclude(make_conclusion(results=(make_result(1),)))
    remade = replace(make_result(1), sha256="00" * 32, path="results/remade.dcm")
    both = (remade, make_result(2))
    bench.conclude(make_conclusion(results=both, destinations=("PACS", "RESEARCH")), number=2)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert [result.path for result in summary.results] == [make_result(1).path, make_result(2).path]
    assert bench.ledger.status().deliveries[DeliveryState.PENDING] == 4


def test_a_result_object_named_twice_is_one(bench: Bench) -> None:
    twice = (make_result(1), make_result(1))
    bench.conclude(make_conclusion(results=twice, destinations=("PACS", "PACS")))
    assert bench.ledger.status().deliveries[DeliveryState.PENDING] == 1


@pytest.mark.parametrize(
    "broken",
    [
        make_conclusion(results=(make_result(),), findings=(FOUND, FOUND)),
        make_conclusion(results=(make_result(),), findings=(replace(FOUND, probability=1.5),)),
        make_conclusion(results=(make_result(),), findings=(replace(FOUND, operating_point="x"),)),
    ],
    ids=["finding twice", "probability above 1", "unknown operating point"],
)
def test_a_conclusion_that_breaks_half_way_leaves_nothing_behind(
    bench: Bench, broken: object
) -> None:
    bench.conclude(make_conclusion(Outcome.NEGATIVE))
    claim = bench.claim(number=2)
    with pytest.raises(LedgerInconsistent, match="refused a row"):
        bench.ledger.conclude(claim, broken, bench.clock())  # type: ignore[arg-type]
    assert bench.state() == StudyState.SCREENING
    status = bench.ledger.status()
    assert status.analyses[Outcome.NEGATIVE] == 1
    assert status.deliveries[DeliveryState.PENDING] == 0
    assert bench.ledger.conclude(claim, make_conclusion(), bench.clock())


def test_a_failed_attempt_is_queued_again_and_then_given_up(bench: Bench) -> None:
    queued = bench.queue()
    claim = bench.claim_queued(queued)
    assert bench.ledger.fail_attempt(claim, "no memory", max_attempts=2) == StudyState.QUEUED
    claim = bench.claim_queued(queued)
    assert bench.ledger.fail_attempt(claim, "no memory", max_attempts=2) == StudyState.FAILED
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert (summary.outcome, summary.reason) == (Outcome.FAILED, "no memory")
    assert summary.failure_reason == "no memory"


def test_a_worker_that_lost_its_lease_cannot_fail_the_study_of_another(bench: Bench) -> None:
    queued = bench.queue()
    old = bench.claim_queued(queued)
    bench.clock.forward(LEASE)
    bench.ledger.release_expired_leases(max_attempts=3)
    new = bench.claim_queued(queued, "worker-2")
    assert bench.ledger.fail_attempt(old, "late", max_attempts=1) == StudyState.SCREENING
    assert bench.ledger.conclude(new, make_conclusion(), bench.clock())
    assert bench.ledger.fail_attempt(new, "late", max_attempts=1) == StudyState.SCREENED


def test_a_failure_supersedes_the_former_analysis_so_that_it_shows(bench: Bench) -> None:
    bench.conclude(make_conclusion(Outcome.NEGATIVE))
    claim = bench.claim(number=2)
    bench.ledger.fail_attempt(claim, "no memory", max_attempts=1)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.outcome == Outcome.FAILED


def test_an_error_text_with_control_characters_still_ends_the_study(bench: Bench) -> None:
    claim = bench.claim()
    reason = "cannot decode \0\udcff"
    assert bench.ledger.fail_attempt(claim, reason, max_attempts=1) == StudyState.FAILED


def test_an_operator_can_retry_a_failed_study_with_all_its_attempts(bench: Bench) -> None:
    claim = bench.claim()
    bench.ledger.fail_attempt(claim, "no memory", max_attempts=1)
    assert bench.ledger.retry_failed(study_uid(1))
    assert bench.state() == StudyState.READY
    (queued,) = bench.ledger.queue_ready_studies(1)
    again = bench.claim_queued(queued)
    assert (again.revision, again.attempt) == (2, 1)
    assert bench.ledger.conclude(again, make_conclusion(), bench.clock())


def test_only_a_failed_study_can_be_retried(bench: Bench) -> None:
    bench.conclude()
    assert not bench.ledger.retry_failed(study_uid(1))
    assert not bench.ledger.retry_failed("1.2.3.not.known")
    assert bench.state() == StudyState.SCREENED
