"""What the database keeps of sweeps, on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine

from db.errors import SweepRefused
from db.outcomes import Outcome
from db.states import StudyState, SweepState, SweepStudyState
from db.sweep_records import Candidate, NewSweep
from db.sweeps import Sweeps
from tests.unit.db.ledger_factories import (
    LEASE,
    QUIET,
    Bench,
    instance_uid,
    make_conclusion,
    make_instance,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

MINUTE = timedelta(minutes=1)
NEW = NewSweep(source="pacs", folder="", selection={}, actor="tests")


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def sweeps(bench: Bench) -> Sweeps:
    return Sweeps(bench.engine, bench.clock)


def begin(sweeps: Sweeps, *studies: int, excluded: str = "") -> int:
    record = sweeps.begin(NEW)
    assert record is not None
    candidates = [Candidate(study_uid(study), excluded) for study in studies]
    sweeps.record_search(record.id, candidates, "", searched=True)
    return record.id


def fetch(sweeps: Sweeps, bench: Bench, sweep_id: int, study: int, number: int = 1) -> None:
    """As a PACS would: asked for, arrives, taken."""
    (item,) = (
        one for one in sweeps.to_see_to(sweep_id, 10) if one.study_instance_uid == study_uid(study)
    )
    sweeps.begin_fetch(item.id, 1, bench.clock() + MINUTE)
    bench.register(study, number)
    sweeps.end_fetch(item.id, 1)


def screen(bench: Bench, study: int, outcome: Outcome = Outcome.POSITIVE) -> None:
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(10)
    claim = bench.claim_queued(queued)
    assert claim.study_instance_uid == study_uid(study)
    assert bench.ledger.conclude(claim, make_conclusion(outcome), bench.clock())


def test_two_beats_begin_one_sweep_a_night(sweeps: Sweeps) -> None:
    tonight = replace(NEW, schedule="nightly", night=date(2026, 3, 29))
    assert sweeps.begin(tonight) is not None
    assert sweeps.begin(tonight) is None
    assert sweeps.begin(replace(tonight, night=date(2026, 3, 30))) is not None


def test_one_worker_at_a_time_advances_a_sweep_until_its_lease_ends(
    sweeps: Sweeps, bench: Bench
) -> None:
    sweep_id = begin(sweeps, 1)
    first = sweeps.claim("one", LEASE)
    assert first is not None
    assert first.id == sweep_id
    assert sweeps.claim("two", LEASE) is None
    bench.clock.forward(LEASE)
    assert sweeps.claim("two", LEASE) is not None
    assert not sweeps.hold(sweep_id, "one", LEASE)
    assert sweeps.hold(sweep_id, "two", LEASE)
    sweeps.release(sweep_id, "one", "not mine to end")
    assert sweeps.claim("three", LEASE) is None
    sweeps.release(sweep_id, "two")
    assert sweeps.claim("three", LEASE) is not None


def test_the_sweep_that_waited_longest_is_advanced_first(sweeps: Sweeps, bench: Bench) -> None:
    first = begin(sweeps, 1)
    bench.clock.forward(MINUTE)
    second = begin(sweeps, 2)
    order = []
    for _ in range(4):
        bench.clock.forward(MINUTE)
        record = sweeps.claim("worker", LEASE)
        assert record is not None
        order.append(record.id)
        sweeps.release(record.id, "worker")
    assert order == [first, second, first, second]


def test_a_paused_sweep_is_given_to_nobody_and_a_holder_learns_of_it(sweeps: Sweeps) -> None:
    sweep_id = begin(sweeps, 1)
    assert sweeps.claim("worker", LEASE) is not None
    sweeps.move(sweep_id, SweepState.PAUSED, "operator")
    assert not sweeps.hold(sweep_id, "worker", LEASE)
    sweeps.release(sweep_id, "worker")
    assert sweeps.claim("worker", LEASE) is None
    sweeps.move(sweep_id, SweepState.RUNNING, "operator")
    assert sweeps.claim("worker", LEASE) is not None


def test_what_is_cancelled_stays_so(sweeps: Sweeps) -> None:
    sweep_id = begin(sweeps, 1)
    assert sweeps.move(sweep_id, SweepState.CANCELLED, "operator").finished_at is not None
    with pytest.raises(SweepRefused, match="is CANCELLED and cannot become RUNNING"):
        sweeps.move(sweep_id, SweepState.RUNNING, "operator")
    with pytest.raises(SweepRefused, match="there is no sweep 99"):
        sweeps.move(99, SweepState.PAUSED, "operator")


def test_a_candidate_that_is_found_again_is_one(sweeps: Sweeps) -> None:
    sweep_id = begin(sweeps, 1, 2)
    again = [Candidate(study_uid(2)), Candidate(study_uid(3), "no radiograph")]
    sweeps.record_search(sweep_id, again, "cursor", searched=False)
    tally = sweeps.tally(sweep_id)
    assert tally.studies[SweepStudyState.FOUND] == 2
    assert tally.exclusions == {"no radiograph": 1}
    record = sweeps.find(sweep_id)
    assert record is not None
    assert (record.cursor, record.searched) == ("cursor", False)


def test_what_a_sweep_fetches_is_backlog_and_its_analysis_is_the_sweeps(
    sweeps: Sweeps, bench: Bench
) -> None:
    sweep_id = begin(sweeps, 1)
    fetch(sweeps, bench, sweep_id, 1)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(10)
    assert queued.backlog
    claim = bench.claim_queued(queued)
    assert claim.sweep_id == sweep_id
    assert sweeps.tally(sweep_id).waiting == 1
    bench.ledger.conclude(claim, make_conclusion(Outcome.POSITIVE), bench.clock())
    tally = sweeps.tally(sweep_id)
    assert (tally.waiting, tally.instances) == (0, 1)
    assert tally.outcomes[Outcome.POSITIVE] == 1
    (line,) = sweeps.swept(sweep_id)
    assert (line.outcome, line.state) == (Outcome.POSITIVE, SweepStudyState.TAKEN)


def test_a_live_instance_makes_a_study_of_a_sweep_triage(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1)
    fetch(sweeps, bench, sweep_id, 1)
    bench.register(1, 2)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(10)
    assert not queued.backlog


def test_what_arrives_after_the_requests_time_is_triage(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1)
    (item,) = sweeps.to_see_to(sweep_id, 10)
    sweeps.begin_fetch(item.id, 1, bench.clock() + MINUTE)
    bench.clock.forward(MINUTE)
    assert not bench.queue(1).backlog


def test_a_part_that_a_killed_fetch_left_waits_for_the_rest(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1)
    (item,) = sweeps.to_see_to(sweep_id, 10)
    sweeps.begin_fetch(item.id, 2, bench.clock() + 3 * QUIET)
    bench.register(1, 1)
    bench.clock.forward(QUIET)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 0
    bench.register(1, 2)
    sweeps.end_fetch(item.id, 2)
    bench.clock.forward(QUIET)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 1


def test_a_fetch_that_never_ends_holds_a_study_no_longer_than_its_time(
    sweeps: Sweeps, bench: Bench
) -> None:
    sweep_id = begin(sweeps, 1)
    (item,) = sweeps.to_see_to(sweep_id, 10)
    sweeps.begin_fetch(item.id, 2, bench.clock() + 3 * QUIET)
    bench.register(1, 1)
    bench.clock.forward(2 * QUIET)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 0
    bench.clock.forward(QUIET)
    assert bench.ledger.mark_quiet_studies_ready(QUIET) == 1


def test_a_live_study_stays_triage_though_a_sweep_asks_for_it(sweeps: Sweeps, bench: Bench) -> None:
    bench.register(1, 1)
    sweep_id = begin(sweeps, 1)
    fetch(sweeps, bench, sweep_id, 1, number=2)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(10)
    assert not queued.backlog


def test_triage_is_queued_whatever_waits_of_the_backlog(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, *range(1, 6))
    for study in range(1, 6):
        fetch(sweeps, bench, sweep_id, study)
    bench.register(9)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    first = bench.ledger.queue_ready_studies(10, backlog_limit=2)
    assert [one.backlog for one in first].count(True) == 2
    assert [one.backlog for one in first].count(False) == 1
    assert bench.ledger.queue_ready_studies(10, backlog_limit=2) == []


def test_the_backlog_is_not_what_waits_longest(sweeps: Sweeps, bench: Bench) -> None:
    """Else an alarm on waiting studies would ring all night."""
    sweep_id = begin(sweeps, 1)
    fetch(sweeps, bench, sweep_id, 1)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    assert bench.ledger.status().oldest_waiting is None
    bench.make_ready(2)
    waiting = bench.ledger.status().oldest_waiting
    assert waiting is not None
    assert waiting.study_instance_uid == study_uid(2)


def test_a_screened_study_is_screened_again_for_a_sweep(sweeps: Sweeps, bench: Bench) -> None:
    bench.conclude(make_conclusion(Outcome.NEGATIVE))
    sweep_id = begin(sweeps, 1)
    (item,) = sweeps.to_see_to(sweep_id, 10)
    assert sweeps.screen_again(item.id)
    assert not sweeps.screen_again(item.id), "it is not at rest"
    screen(bench, 1)
    tally = sweeps.tally(sweep_id)
    assert tally.changed == {(Outcome.NEGATIVE, Outcome.POSITIVE): 1}
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert (summary.revision, summary.state) == (2, StudyState.SCREENED)


def test_the_ledger_tells_which_instances_the_present_analysis_saw(
    sweeps: Sweeps, bench: Bench
) -> None:
    assert sweeps.known(study_uid(1)) is None
    bench.conclude()
    known = sweeps.known(study_uid(1))
    assert known is not None
    assert known.sop_instance_uids == {instance_uid(1, 1)}
    assert (known.state, known.model_version) == (StudyState.SCREENED, "1.0")


def test_a_sweep_is_finished_when_all_is_found_and_seen_to(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1, 2)
    one, two = sweeps.to_see_to(sweep_id, 10)
    sweeps.exclude(one.id, "no radiograph")
    assert not sweeps.finish_if_done(sweep_id)
    sweeps.begin_fetch(two.id, 3, bench.clock() + MINUTE)
    assert [item.id for item in sweeps.to_see_to(sweep_id, 10)] == [two.id], "left by a crash"
    sweeps.retry(two.id, "the PACS is away", bench.clock() + 2 * MINUTE)
    assert sweeps.to_see_to(sweep_id, 10) == []
    assert sweeps.next_turn(sweep_id) == bench.clock() + 2 * MINUTE
    assert not sweeps.finish_if_done(sweep_id)
    bench.clock.forward(2 * MINUTE)
    (again,) = sweeps.to_see_to(sweep_id, 10)
    assert (again.id, again.attempts) == (two.id, 1)
    sweeps.end_fetch(two.id, 0, missing="gave up after 1 try: the PACS is away")
    assert sweeps.finish_if_done(sweep_id)
    record = sweeps.find(sweep_id)
    assert record is not None
    assert record.state is SweepState.FINISHED
    assert sweeps.tally(sweep_id).missing == {"gave up after 1 try: the PACS is away": 1}


def test_a_sweep_is_reported_once_it_is_done_and_screened(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1)
    fetch(sweeps, bench, sweep_id, 1)
    assert sweeps.finish_if_done(sweep_id)
    assert sweeps.to_report(None) == [], "it waits for screening"
    screen(bench, 1)
    assert sweeps.to_report(None) == [sweep_id]
    sweeps.record_report(sweep_id)
    assert sweeps.to_report(bench.clock()) == []


def test_a_sweep_of_several_nights_is_reported_each_morning_that_has_news(
    sweeps: Sweeps, bench: Bench
) -> None:
    sweep_id = begin(sweeps, 1, 2, 3)
    fetch(sweeps, bench, sweep_id, 1)
    screen(bench, 1)
    assert sweeps.to_report(None) == [], "its window is open"
    morning = bench.clock.forward(MINUTE)
    assert sweeps.to_report(morning) == [sweep_id]
    sweeps.record_report(sweep_id)
    next_morning = bench.clock.forward(timedelta(days=1))
    assert sweeps.to_report(next_morning) == [], "nothing new"
    fetch(sweeps, bench, sweep_id, 2)
    screen(bench, 2)
    assert sweeps.to_report(bench.clock.forward(MINUTE)) == [sweep_id]


def test_what_was_taken_lately_is_counted_by_source(sweeps: Sweeps, bench: Bench) -> None:
    sweep_id = begin(sweeps, 1, 2)
    before = bench.clock() - MINUTE
    fetch(sweeps, bench, sweep_id, 1)
    assert sweeps.taken_since("pacs", before) == 1
    assert sweeps.taken_since("another", before) == 0
    assert sweeps.taken_since("pacs", bench.clock()) == 0


def test_registering_knows_the_sweep_of_a_retry(sweeps: Sweeps, bench: Bench) -> None:
    """A study of two instances of which one came the first time."""
    sweep_id = begin(sweeps, 1)
    fetch_until = bench.clock() + MINUTE
    (item,) = sweeps.to_see_to(sweep_id, 10)
    sweeps.begin_fetch(item.id, 2, fetch_until)
    bench.register(1, 1)
    sweeps.retry(item.id, "1 of 2 failed", bench.clock())
    (item,) = sweeps.to_see_to(sweep_id, 10)
    sweeps.begin_fetch(item.id, 1, fetch_until)
    bench.ledger.register_instance(make_instance(1, 2))
    sweeps.end_fetch(item.id, 1)
    bench.clock.forward(QUIET)
    bench.ledger.mark_quiet_studies_ready(QUIET)
    (queued,) = bench.ledger.queue_ready_studies(10)
    assert queued.backlog
