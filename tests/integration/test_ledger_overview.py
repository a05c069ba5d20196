"""What operators see: counts, the longest wait, and each study's current outcome."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.outcomes import Outcome
from db.records import LedgerStatus, WaitingStudy
from db.states import DeliveryState, StudyState
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_an_empty_ledger_counts_nothing_in_every_state(bench: Bench) -> None:
    assert bench.ledger.status() == LedgerStatus(
        studies=dict.fromkeys(StudyState, 0),
        analyses=dict.fromkeys(Outcome, 0),
        deliveries=dict.fromkeys(DeliveryState, 0),
        sent_with_warning=0,
        circuits=[],
        oldest_waiting=None,
        last_activity=None,
    )
    assert bench.ledger.recent_studies(10) == []
    assert bench.ledger.study_summary(study_uid(1)) is None


def test_the_status_counts_studies_outcomes_and_deliveries(bench: Bench) -> None:
    bench.conclude(make_conclusion(results=(make_result(),), destinations=("A", "B")))
    bench.claim(2)
    bench.register(3)
    status = bench.ledger.status()
    assert {state: n for state, n in status.studies.items() if n} == {
        StudyState.SCREENED: 1,
        StudyState.SCREENING: 1,
        StudyState.RECEIVING: 1,
    }
    assert status.analyses[Outcome.POSITIVE] == 1
    assert status.deliveries[DeliveryState.PENDING] == 2


def test_the_oldest_waiting_study_is_the_one_that_became_ready_first(bench: Bench) -> None:
    bench.claim(1)
    since = bench.clock()
    bench.make_ready(2)
    assert bench.ledger.status().oldest_waiting == WaitingStudy(
        study_uid(1), StudyState.SCREENING, since
    )


def test_a_concluded_study_waits_no_more(bench: Bench) -> None:
    bench.conclude()
    assert bench.ledger.status().oldest_waiting is None


def test_the_last_activity_is_the_last_of_reception_move_and_delivery(bench: Bench) -> None:
    claim = bench.conclude(make_conclusion(results=(make_result(),)))
    concluded_at = bench.clock()
    bench.clock.forward(MINUTE)
    assert bench.ledger.status().last_activity == concluded_at
    (delivery,) = bench.ledger.claim_deliveries(claim.study_id, "PACS", "a", MINUTE)
    bench.ledger.record_delivery(
        delivery.delivery_id, "a", sent=True, status=0, error="", next_attempt_at=None
    )
    assert bench.ledger.status().last_activity == bench.clock()
    bench.clock.forward(MINUTE)
    bench.register(2)
    assert bench.ledger.status().last_activity == bench.clock()


def test_recent_studies_come_newest_first_and_no_more_than_asked(bench: Bench) -> None:
    for study, number in ((1, 1), (2, 1), (3, 1), (1, 2)):
        bench.clock.forward(MINUTE)
        bench.register(study, number)
    found = [summary.study_instance_uid for summary in bench.ledger.recent_studies(2)]
    assert found == [study_uid(1), study_uid(3)]


def test_a_study_without_a_conclusion_shows_no_outcome(bench: Bench) -> None:
    bench.register()
    (summary,) = bench.ledger.recent_studies(1)
    assert (summary.outcome, summary.probability, summary.reason) == (None, None, "")
    assert summary.results == ()


def test_a_reopened_study_tells_that_its_outcome_is_of_a_former_revision(bench: Bench) -> None:
    bench.conclude()
    bench.register(1, 2)
    (summary,) = bench.ledger.recent_studies(1)
    assert summary.analysis is not None
    assert (summary.analysis.revision, summary.revision) == (1, 2)
