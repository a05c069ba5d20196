"""Registrations in company: the same answers as one by one, with fewer commits."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, event

from db.errors import LedgerUnavailable
from db.group_commit import GroupCommit
from db.ledger import Ledger
from db.records import NewInstance, Registration, RegistrationKind
from worker.composition import utc_now


def _instance(number: int, study: int = 1, digest: str = "a") -> NewInstance:
    return NewInstance(
        study_instance_uid=f"1.2.{study}",
        series_instance_uid=f"1.2.{study}.1",
        sop_instance_uid=f"1.2.{study}.1.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae_title="MODALITY",
        path=f"spool/{study}-{number}-{digest}.dcm",
        sha256=digest * 64,
        size=1,
    )


@pytest.fixture
def group(ledger_engine: Engine) -> GroupCommit:
    return GroupCommit(Ledger(ledger_engine, utc_now))


def _in_threads(
    register: Callable[[NewInstance], Registration], instances: list[NewInstance]
) -> list[Registration | Exception]:
    answers: list[Registration | Exception] = [RuntimeError()] * len(instances)
    together = threading.Barrier(len(instances))

    def work(place: int) -> None:
        together.wait()
        try:
            answers[place] = register(instances[place])
        except Exception as error:
            answers[place] = error

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(instances))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_each_of_many_is_stored_once_with_fewer_commits(
    group: GroupCommit, ledger_engine: Engine
) -> None:
    commits = []
    event.listen(ledger_engine, "commit", commits.append)
    instances = [_instance(number, study) for study in (1, 2) for number in range(1, 13)]

    answers = _in_threads(group.register_instance, instances)

    assert {getattr(each, "kind", each) for each in answers} == {RegistrationKind.ACCEPTED}
    stored = {uid for uid, _ in Ledger(ledger_engine, utc_now).instance_paths()}
    assert stored == {each.sop_instance_uid for each in instances}
    assert len(commits) < len(instances)


def test_twins_in_one_transaction_are_a_duplicate_or_a_conflict(group: GroupCommit) -> None:
    same, other = _instance(1), _instance(1, digest="b")
    twin = replace(same, path="spool/twin.dcm")

    answers = _in_threads(group.register_instance, [same, twin, other])

    kinds = sorted(str(each.kind) for each in answers if isinstance(each, Registration))
    assert kinds in (["ACCEPTED", "CONFLICT", "DUPLICATE"], ["ACCEPTED", "CONFLICT", "CONFLICT"])


def test_one_that_cannot_be_stored_fails_alone(group: GroupCommit) -> None:
    good, bad = [_instance(number) for number in range(1, 6)], _instance(9)
    bad = replace(bad, path=good[0].path)

    answers = _in_threads(group.register_instance, [*good, bad])

    failed = [each for each in answers if not isinstance(each, Registration)]
    assert len(failed) == 1


def test_a_database_that_is_away_is_told_to_everybody(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr("db.intake.register_instances", away)

    answers = _in_threads(group.register_instance, [_instance(number) for number in range(1, 5)])

    assert [type(each) for each in answers] == [LedgerUnavailable] * 4
