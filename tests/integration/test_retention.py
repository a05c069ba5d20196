"""What may be purged and what never is, on both databases; files as the services leave them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from db.audit import Trail, Wanted
from db.records import ClaimedStudy, NewFinding, RegistrationKind
from db.retention import PURGED, Amount, Kind, Retention, Rule
from db.reviews import NewReview, Reviews
from db.states import DeliveryState, ReviewOutcome, StudyState, SweepState
from db.sweep_records import Candidate, NewSweep
from db.sweeps import Sweeps
from db.tables import Delivery, DoomedFile, Instance, ResultObject
from dicom_node.commitment import NO_SUCH_INSTANCE
from tests.unit.db.ledger_factories import (
    Bench,
    instance_uid,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)
from worker.commitments import keeper

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

MONTH = timedelta(days=30)
INSTANCES = Rule(Kind.INSTANCES, MONTH)
RESULTS = Rule(Kind.RESULTS, MONTH)
SUPERSEDED = Rule(Kind.SUPERSEDED_RESULTS, MONTH)
NEW_PLACE = "spool/incoming/again.dcm"


class Installation:
    """A ledger with the files that it names."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.bench = Bench(engine)
        self.clock = self.bench.clock
        self.retention = Retention(engine, self.clock)

    def screened(self, study: int = 1, *, deliver: bool = True) -> ClaimedStudy:
        """A study with one instance and one result, months ago."""
        claim = self.bench.claim(study=study)
        finding = NewFinding(instance_uid(study, 1), 1, analysed=True, probability=0.9)
        conclusion = make_conclusion(
            results=(make_result(study=study),), findings=(replace(finding, reason=""),)
        )
        assert self.bench.ledger.conclude(claim, conclusion, self.clock())
        self.write()
        if deliver:
            self.deliver(claim.study_id)
        return claim

    def deliver(self, study_id: int, confirm_at: datetime | None = None) -> None:
        claimed = self.bench.ledger.claim_deliveries(study_id, "PACS", "w", timedelta(minutes=1))
        for one in claimed:
            self.bench.ledger.record_delivery(
                one.delivery_id,
                "w",
                sent=True,
                status=0,
                error="",
                next_attempt_at=None,
                confirm_at=confirm_at,
            )

    def write(self) -> None:
        """Every file that the ledger says is here."""
        for path in self.named():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).touch()

    def named(self) -> set[str]:
        with Session(self.engine) as session, session.begin():
            return {
                path
                for table in (Instance, ResultObject)
                for path in session.scalars(select(table.path).where(table.purged_at.is_(None)))
            }

    def on_disk(self) -> set[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in files}

    def purge(self, *rules: Rule) -> int:
        """As the command does; how many files or rows went."""
        gone = 0
        for rule in rules:
            step = self.retention.purge(rule, "test")
            while step is not None:
                gone += step.amount.count
                self.remove()
                step = self.retention.purge(rule, "test", step.after)
        return gone

    def remove(self) -> None:
        last = self.retention.remove_doomed(self._unlink)
        while last is not None:
            last = self.retention.remove_doomed(self._unlink, last)

    def _unlink(self, path: str) -> None:
        (self.folder / path).unlink(missing_ok=True)

    def doomed(self) -> list[str]:
        with Session(self.engine) as session, session.begin():
            return list(session.scalars(select(DoomedFile.path)))


@pytest.fixture
def site(ledger_engine: Engine, tmp_path: Path) -> Installation:
    return Installation(ledger_engine, tmp_path / "data")


def test_what_is_old_and_done_goes_and_the_rows_say_when(site: Installation) -> None:
    site.screened()
    site.clock.forward(MONTH + timedelta(days=1))
    assert site.retention.amount(INSTANCES) == Amount(1, 1234)
    assert site.retention.amount(RESULTS) == Amount(1, 4321)
    assert len(site.on_disk()) == 2

    assert site.purge(INSTANCES, RESULTS) == 2

    assert site.on_disk() == set()
    assert site.named() == set()
    assert site.doomed() == []
    with Session(site.engine) as session, session.begin():
        assert session.scalar(select(Instance.purged_at)) == site.clock()
        assert session.scalar(select(ResultObject.purged_at)) == site.clock()
    assert site.retention.amount(INSTANCES) == Amount()


def test_purging_is_in_the_audit_trail(site: Installation) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(INSTANCES)
    (event,) = Trail(site.engine, site.clock).page(Wanted(action=PURGED), 10)
    assert (event.actor, event.subject) == ("test", "instances")
    assert (event.details["count"], event.details["bytes"]) == (1, 1234)


def test_storage_commitment_is_refused_for_what_was_purged(site: Installation) -> None:
    site.screened()
    with Session(site.engine) as session, session.begin():
        row = session.scalars(select(Instance)).one()
        reference = row.sop_class_uid, row.sop_instance_uid
        (site.folder / row.path).write_bytes(bytes(row.size))
    keeps = keeper(site.engine, site.folder)
    assert keeps(reference) == 0
    site.clock.forward(MONTH + timedelta(days=1))
    site.purge(INSTANCES)
    assert keeps(reference) == NO_SUCH_INSTANCE


def test_what_is_younger_than_the_rule_stays(site: Installation) -> None:
    site.screened()
    site.clock.forward(MONTH - timedelta(minutes=5))
    assert site.purge(INSTANCES, RESULTS, SUPERSEDED) == 0
    assert site.on_disk() == site.named()


def test_nothing_goes_of_a_study_that_is_unfinished(site: Installation) -> None:
    failed = site.bench.claim(study=4)
    assert site.bench.ledger.fail_attempt(failed, "broken", 1) is StudyState.FAILED
    site.bench.claim(study=3)
    site.bench.queue(study=2)
    site.bench.register(study=1)
    site.write()
    site.clock.forward(10 * MONTH)
    assert site.purge(INSTANCES, RESULTS, SUPERSEDED) == 0
    assert len(site.on_disk()) == 4


@pytest.mark.parametrize("state", ["waiting", "dead letter", "unconfirmed"])
def test_nothing_goes_that_a_destination_may_not_have(site: Installation, state: str) -> None:
    claim = site.screened(deliver=False)
    if state == "unconfirmed":
        site.deliver(claim.study_id, confirm_at=site.clock())
    elif state == "dead letter":
        _set_delivery(site.engine, DeliveryState.FAILED)
    site.clock.forward(10 * MONTH)
    assert site.purge(INSTANCES, RESULTS, SUPERSEDED) == 0
    assert len(site.on_disk()) == 2


def test_results_without_any_destination_stay_since_nobody_else_has_them(
    site: Installation,
) -> None:
    claim = site.bench.claim()
    conclusion = make_conclusion(results=(make_result(),), destinations=())
    assert site.bench.ledger.conclude(claim, conclusion, site.clock())
    site.write()
    site.clock.forward(10 * MONTH)
    assert site.purge(RESULTS, SUPERSEDED) == 0


def test_reviewed_instances_stay_for_the_next_training_set_unless_set(site: Installation) -> None:
    site.screened()
    review = NewReview(instance_uid(1, 1), ReviewOutcome.AGREE, True, "reader 1", site.clock.now)
    Reviews(site.engine, site.clock).record([review])
    site.clock.forward(MONTH)
    assert site.purge(INSTANCES) == 0
    assert site.purge(replace(INSTANCES, reviewed_too=True)) == 1
    (exported,) = Reviews(site.engine, site.clock).in_force()
    assert exported.purged_at == site.clock()


def test_what_a_sweep_names_stays_until_the_sweep_is_over(site: Installation) -> None:
    site.screened()
    sweeps = Sweeps(site.engine, site.clock)
    sweep = sweeps.begin(NewSweep(source="pacs", folder="", selection={}, actor="test"))
    assert sweep is not None
    sweeps.record_search(sweep.id, [Candidate(study_uid(1), "")], "", searched=True)
    site.clock.forward(MONTH)
    assert site.purge(INSTANCES, RESULTS) == 0
    sweeps.move(sweep.id, SweepState.CANCELLED, "test")
    assert site.purge(INSTANCES, RESULTS) == 2


def test_superseded_results_go_by_their_own_age_and_those_in_force_stay(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    queued = site.bench.queue(number=2)
    claim = site.bench.claim_queued(queued)
    assert site.bench.ledger.conclude(
        claim, make_conclusion(results=(make_result(2),)), site.clock()
    )
    site.write()
    site.deliver(claim.study_id)
    assert site.purge(SUPERSEDED) == 0
    site.clock.forward(MONTH)
    assert site.purge(SUPERSEDED) == 1
    assert make_result(1).path not in site.on_disk()
    assert make_result(2).path in site.on_disk()


def test_a_kill_between_giving_up_and_removing_leaves_nothing_for_ever(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    assert site.retention.purge(INSTANCES, "test") is not None
    assert site.doomed() == [make_instance().path]
    assert make_instance().path in site.on_disk(), "the rows must be first"
    site.remove()
    assert make_instance().path not in site.on_disk()
    assert site.doomed() == []


def test_a_file_that_cannot_be_removed_is_tried_again(site: Installation) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.retention.purge(INSTANCES, "test")

    def refuse(path: str) -> None:
        raise PermissionError(path)

    with pytest.raises(PermissionError):
        site.retention.remove_doomed(refuse)
    assert site.doomed() == [make_instance().path]


def test_the_same_bytes_bring_a_purged_instance_back_and_open_its_study(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(INSTANCES)
    again = site.bench.ledger.register_instance(replace(make_instance(), path=NEW_PLACE))
    assert again.kind is RegistrationKind.ACCEPTED
    assert site.bench.state() is StudyState.RECEIVING
    assert NEW_PLACE in site.named()
    once_more = site.bench.ledger.register_instance(replace(make_instance(), path="spool/x"))
    assert once_more.kind is RegistrationKind.DUPLICATE


def test_other_bytes_under_the_uid_of_a_purged_instance_stay_a_conflict(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(INSTANCES)
    other = site.bench.ledger.register_instance(make_instance(content="other"))
    assert other.kind is RegistrationKind.CONFLICT
    assert site.named() == {make_result().path}


def test_an_instance_that_comes_back_before_its_old_file_goes_keeps_its_new_one(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.retention.purge(INSTANCES, "test")
    site.bench.ledger.register_instance(replace(make_instance(), path=NEW_PLACE))
    site.write()
    site.remove()
    assert site.on_disk() == site.named()


def test_a_result_that_a_worker_uses_again_is_not_removed_under_its_hands(
    site: Installation,
) -> None:
    """Given up, then a late instance: the worker finds the file, and concludes with it."""
    site.screened()
    site.clock.forward(MONTH)
    site.retention.purge(RESULTS, "test")
    claim = site.bench.claim(number=2)
    site.remove()
    assert make_result().path in site.on_disk(), "a worker may have seen it"
    assert site.bench.ledger.conclude(
        claim, make_conclusion(results=(make_result(),)), site.clock()
    )
    site.remove()
    assert make_result().path in site.on_disk()
    assert make_result().path in site.named()
    assert site.doomed() == []


def test_a_result_made_anew_has_the_digest_of_its_new_bytes_and_is_not_sent_twice(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(RESULTS)
    claim = site.bench.claim(number=2)
    anew = replace(make_result(), sha256="cd" * 32, size=99)
    assert site.bench.ledger.conclude(claim, make_conclusion(results=(anew,)), site.clock())
    with Session(site.engine) as session, session.begin():
        row = session.scalars(select(ResultObject)).one()
        assert (row.sha256, row.size, row.purged_at) == ("cd" * 32, 99, None)
    assert site.bench.ledger.due_deliveries(10) == []


def test_a_claim_tells_what_was_said_of_an_instance_that_is_gone(site: Installation) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(INSTANCES)
    first, second = site.bench.claim(number=2).instances
    assert first.purged is not None
    assert first.purged.purged_at < site.clock()
    assert [one.probability for one in first.purged.findings] == [0.9]
    assert second.purged is None


def test_late_instances_and_a_purge_at_once_leave_no_row_without_its_file(
    site: Installation,
) -> None:
    studies = range(1, 31)
    for study in studies:
        site.screened(study)
    site.clock.forward(MONTH)
    with ThreadPoolExecutor(3) as threads:
        purging = threads.submit(site.purge, INSTANCES, RESULTS)
        late = [threads.submit(site.bench.register, study, 2) for study in studies]
        for one in (purging, *late):
            one.result(120)
    on_disk = site.on_disk()
    with Session(site.engine) as session, session.begin():
        late_ones = {make_instance(study, 2).path for study in studies}
        kept = site.named() - late_ones
    assert kept <= on_disk, "a row says that a file is here which is not"
    assert on_disk == kept, "a file is here that no row names"
    assert all(site.bench.state(study) is StudyState.RECEIVING for study in studies)


def test_a_study_with_purged_files_is_fetched_again_by_a_sweep_that_wants_it(
    site: Installation,
) -> None:
    site.screened()
    site.clock.forward(MONTH)
    site.purge(INSTANCES)
    known = Sweeps(site.engine, site.clock).known(study_uid(1))
    assert known is not None
    assert known.sop_instance_uids == frozenset()
    assert known.looked_at == {instance_uid(1, 1)}


def test_the_rows_of_a_sweep_that_is_over_go_and_the_sweep_says_so(site: Installation) -> None:
    sweeps = Sweeps(site.engine, site.clock)
    sweep = sweeps.begin(NewSweep(source="pacs", folder="", selection={}, actor="test"))
    assert sweep is not None
    sweeps.record_search(sweep.id, [Candidate(study_uid(1), "no")], "", searched=True)
    rule = Rule(Kind.SWEEP_ROWS, MONTH)
    site.clock.forward(MONTH)
    assert site.retention.amount(rule) == Amount()
    sweeps.move(sweep.id, SweepState.CANCELLED, "test")
    site.clock.forward(MONTH)
    assert site.retention.amount(rule) == Amount(1)
    assert site.purge(rule) == 1
    assert list(sweeps.swept(sweep.id)) == []
    found = sweeps.find(sweep.id)
    assert found is not None
    assert found.purged_at == site.clock()


def test_the_audit_trail_has_no_kind(site: Installation) -> None:
    assert "audit" not in " ".join(kind.value for kind in Kind)


def _set_delivery(engine: Engine, state: DeliveryState) -> None:
    with Session(engine) as session, session.begin():
        session.execute(update(Delivery).values(state=state))
