"""Many processes and threads on one ledger: each study, instance and delivery goes to one."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import NewInstance, RegistrationKind
from db.session import make_engine
from db.states import DeliveryState, StudyState
from tests.unit.db.ledger_factories import (
    Bench,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

Result = TypeVar("Result")

PROCESSES = 4
STUDIES = 200
LEASE = timedelta(hours=1)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_each_study_is_queued_and_claimed_by_exactly_one_process(
    bench: Bench, database_url: str
) -> None:
    expected = {bench.register(study) for study in range(STUDIES)}
    bench.ledger.mark_quiet_studies_ready(timedelta(0))
    runs = _in_processes(_queue_and_claim, database_url)
    queued = Counter(study for run in runs for study in run[0])
    claimed = Counter(study for run in runs for study in run[1])
    assert queued == dict.fromkeys(expected, 1)
    assert claimed == dict.fromkeys(expected, 1)


def test_processes_that_get_the_same_study_at_once_store_each_instance_once(
    bench: Bench, database_url: str
) -> None:
    runs = _in_processes(_register_the_same, database_url)
    kinds = Counter(kind for run in runs for kind in run)
    assert kinds[RegistrationKind.ACCEPTED] == 40
    assert kinds[RegistrationKind.DUPLICATE] == 40 * (PROCESSES - 1)
    assert bench.ledger.status().studies[StudyState.RECEIVING] == 10
    assert len(list(bench.ledger.instance_paths())) == 40


def test_threads_that_store_other_bytes_under_one_uid_leave_one_winner(bench: Bench) -> None:
    contents = [make_instance(content=str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        registrations = list(threads.map(bench.ledger.register_instance, contents))
    kinds = Counter(registration.kind for registration in registrations)
    assert kinds == {RegistrationKind.ACCEPTED: 1, RegistrationKind.CONFLICT: 7}
    assert len(list(bench.ledger.instance_paths())) == 1


def test_threads_that_register_conflicting_studies_leave_no_empty_study(bench: Bench) -> None:
    uid = make_instance(0, 1).sop_instance_uid
    clashing = [_with_uid(study, uid) for study in range(8)]
    with ThreadPoolExecutor(8) as threads:
        registrations = list(threads.map(bench.ledger.register_instance, clashing))
    assert Counter(r.kind for r in registrations)[RegistrationKind.ACCEPTED] == 1
    assert bench.ledger.status().studies[StudyState.RECEIVING] == 1


def test_a_late_instance_and_a_conclusion_never_both_win(bench: Bench) -> None:
    claims = [bench.claim(study) for study in range(20)]
    for study, claim in enumerate(claims):
        with ThreadPoolExecutor(2) as threads:
            concluded = threads.submit(
                bench.ledger.conclude, claim, make_conclusion(), bench.clock()
            )
            threads.submit(bench.ledger.register_instance, make_instance(study, 2)).result()
        summary = bench.ledger.study_summary(study_uid(study))
        assert summary is not None
        assert summary.state == StudyState.RECEIVING
        assert summary.revision == (2 if concluded.result() else 1)
        assert (summary.analysis is not None) == concluded.result()


def test_each_delivery_is_published_and_claimed_by_exactly_one_process(
    bench: Bench, database_url: str
) -> None:
    for study in range(20):
        results = (make_result(1, study), make_result(2, study))
        claim = bench.claim(study)
        assert bench.ledger.conclude(
            claim, make_conclusion(results=results, destinations=("A", "B")), bench.clock()
        )
    runs = _in_processes(_publish_and_send, database_url)
    published = Counter(group for run in runs for group in run[0])
    sent = Counter(delivery for run in runs for delivery in run[1])
    assert set(published.values()) == {1}
    assert len(published) == 40
    assert set(sent.values()) == {1}
    assert bench.ledger.status().deliveries[DeliveryState.SENT] == 80


def test_release_by_many_dispatchers_fails_a_study_once(bench: Bench) -> None:
    for study in range(20):
        bench.claim(study)
    bench.clock.forward(LEASE)
    with ThreadPoolExecutor(4) as threads:
        released = threads.map(lambda _: bench.ledger.release_expired_leases(1), range(4))
        assert sum(len(part) for part in released) == 20
    status = bench.ledger.status()
    assert (status.studies[StudyState.FAILED], status.analyses[Outcome.FAILED]) == (20, 20)


def _in_processes(work: Callable[[str], Result], url: str) -> list[Result]:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        return pool.map(work, [url] * PROCESSES, chunksize=1)


def _queue_and_claim(url: str) -> tuple[list[int], list[int]]:
    ledger = _ledger(url)
    queued, claimed = [], []
    while batch := ledger.queue_ready_studies(limit=3):
        queued += [study.study_id for study in batch]
    # Every process tries every study, as if the broker had delivered each message to all.
    for study_id in range(1, STUDIES + 1):
        if ledger.claim_study(study_id, 1, str(os.getpid()), LEASE):
            claimed.append(study_id)
    return queued, claimed


def _register_the_same(url: str) -> list[RegistrationKind]:
    ledger = _ledger(url)
    instances = [make_instance(study, number) for study in range(10) for number in range(4)]
    return [ledger.register_instance(instance).kind for instance in instances]


def _publish_and_send(url: str) -> tuple[list[tuple[int, str]], list[int]]:
    ledger, owner = _ledger(url), str(os.getpid())
    published, sent = [], []
    while groups := ledger.due_deliveries(limit=3):
        published += [(group.study_id, group.destination) for group in groups]
        for group in groups:
            for delivery in ledger.claim_deliveries(
                group.study_id, group.destination, owner, LEASE
            ):
                sent.append(delivery.delivery_id)
                ledger.record_delivery(
                    delivery.delivery_id,
                    owner,
                    sent=True,
                    status=0,
                    error="",
                    next_attempt_at=None,
                )
    return published, sent


def _with_uid(study: int, sop_instance_uid: str) -> NewInstance:
    return replace(make_instance(study), sop_instance_uid=sop_instance_uid)


def _ledger(url: str) -> Ledger:
    return Ledger(make_engine(url), lambda: datetime.now(UTC))
