"""Registration of instances: once, atomically, and what a late one does to its study."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.errors import LedgerInconsistent
from db.outcomes import Outcome
from db.records import RegistrationKind
from db.states import DeliveryState, StudyState
from tests.unit.db.ledger_factories import (
    Bench,
    instance_uid,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_the_first_instance_opens_its_study(bench: Bench) -> None:
    registration = bench.ledger.register_instance(make_instance())
    assert registration.kind == RegistrationKind.ACCEPTED
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert (summary.state, summary.revision, summary.instance_count) == ("RECEIVING", 1, 1)
    assert summary.calling_ae_title == "MODALITY"
    assert summary.received_at == bench.clock()


def test_instances_of_one_study_share_it_and_those_of_another_do_not(bench: Bench) -> None:
    assert bench.register(1, 1) == bench.register(1, 2)
    assert bench.register(2, 1) != bench.register(1, 3)


def test_the_same_instance_again_is_a_duplicate_and_changes_nothing(bench: Bench) -> None:
    study_id = bench.conclude().study_id
    before = bench.ledger.study_summary(study_uid(1))
    bench.clock.forward(timedelta(hours=1))
    again = bench.ledger.register_instance(make_instance())
    assert (again.kind, again.study_id) == (RegistrationKind.DUPLICATE, study_id)
    assert bench.ledger.study_summary(study_uid(1)) == before


def test_a_duplicate_from_another_path_keeps_the_first_path(bench: Bench) -> None:
    bench.register()
    bench.ledger.register_instance(replace(make_instance(), path="spool/incoming/again.dcm"))
    assert list(bench.ledger.instance_paths()) == [(instance_uid(1, 1), make_instance().path)]


def test_the_same_uid_with_other_bytes_is_a_conflict_and_stores_nothing(bench: Bench) -> None:
    study_id = bench.conclude().study_id
    before = bench.ledger.study_summary(study_uid(1))
    other = make_instance(content="other")
    conflict = bench.ledger.register_instance(other)
    assert (conflict.kind, conflict.study_id) == (RegistrationKind.CONFLICT, study_id)
    assert bench.ledger.study_summary(study_uid(1)) == before
    assert not bench.ledger.known_path(other.path)


def test_a_conflict_under_another_study_opens_no_empty_study(bench: Bench) -> None:
    study_id = bench.register(1, 1)
    clash = replace(make_instance(2, 1), sop_instance_uid=instance_uid(1, 1))
    conflict = bench.ledger.register_instance(clash)
    assert (conflict.kind, conflict.study_id) == (RegistrationKind.CONFLICT, study_id)
    assert bench.ledger.study_summary(study_uid(2)) is None


def test_one_file_cannot_be_two_instances(bench: Bench) -> None:
    bench.register(1, 1)
    thief = replace(make_instance(2, 1), path=make_instance(1, 1).path)
    with pytest.raises(LedgerInconsistent, match="the ledger refused a row"):
        bench.ledger.register_instance(thief)
    assert bench.ledger.study_summary(study_uid(2)) is None


def test_the_reconciler_sees_every_path(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.ledger._PATHS_PER_TRANSACTION", 3)
    for number in range(1, 8):
        bench.register(1, number)
    expected = [(instance_uid(1, n), make_instance(1, n).path) for n in range(1, 8)]
    assert list(bench.ledger.instance_paths()) == expected
    assert bench.ledger.known_path(make_instance(1, 7).path)
    assert not bench.ledger.known_path("spool/incoming/orphan.dcm")


def test_a_listener_can_register_while_the_reconciler_reads_paths(bench: Bench) -> None:
    bench.register(1, 1)
    paths = bench.ledger.instance_paths()
    next(paths)
    bench.register(1, 2)
    assert [uid for uid, _ in paths] == [instance_uid(1, 2)]


@pytest.mark.parametrize("step", ["make_ready", "queue", "claim"])
def test_a_late_instance_sends_an_unconcluded_study_back_in_the_same_revision(
    bench: Bench, step: str
) -> None:
    getattr(bench, step)()
    bench.register(1, 2)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert (summary.state, summary.revision, summary.instance_count) == ("RECEIVING", 1, 2)
    assert summary.last_instance_at == bench.clock()


@pytest.mark.parametrize("outcome", [Outcome.NEGATIVE, Outcome.FAILED])
def test_a_late_instance_gives_a_concluded_study_its_next_revision(
    bench: Bench, outcome: Outcome
) -> None:
    bench.conclude(make_conclusion(outcome))
    bench.register(1, 2)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert (summary.state, summary.revision, summary.attempts) == ("RECEIVING", 2, 0)
    assert summary.failure_reason == ""
    assert summary.outcome == outcome, "the former outcome stays visible until the next"


def test_a_worker_cannot_conclude_without_the_late_instance(bench: Bench) -> None:
    claim = bench.claim()
    bench.register(1, 2)
    assert not bench.ledger.conclude(
        claim, make_conclusion(results=(make_result(),)), bench.clock()
    )
    assert bench.state() == StudyState.RECEIVING
    assert sum(bench.ledger.status().analyses.values()) == 0
    assert bench.ledger.status().deliveries[DeliveryState.PENDING] == 0


def test_an_old_worker_cannot_conclude_once_the_same_revision_is_claimed_again(
    bench: Bench,
) -> None:
    old = bench.claim(owner="worker-1")
    new = bench.claim(number=2, owner="worker-1")
    assert old.revision == new.revision
    assert len(new.instances) == 2
    assert not bench.ledger.conclude(old, make_conclusion(), bench.clock())
    assert bench.ledger.conclude(new, make_conclusion(), bench.clock())


def test_an_old_worker_cannot_conclude_a_later_revision_at_its_own_attempt(bench: Bench) -> None:
    queued = bench.queue()
    old = bench.claim_queued(queued)
    bench.ledger.fail_attempt(old, "no memory", max_attempts=3)
    assert bench.ledger.conclude(bench.claim_queued(queued), make_conclusion(), bench.clock())
    new = bench.claim(number=2)
    assert (old.revision, new.revision, old.attempt, new.attempt) == (1, 2, 1, 1)
    assert not bench.ledger.conclude(old, make_conclusion(), bench.clock())
