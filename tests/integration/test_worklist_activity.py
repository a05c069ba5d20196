"""What the ledger tells health and metrics: what happened between marks, and how things stand."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert

from db.activity import Activity, Concluded
from db.outcomes import Outcome
from db.states import CircuitState, DeliveryState, StudyState
from db.tables import StudyOpening
from tests.unit.db.ledger_factories import QUIET, Bench, make_conclusion, make_result

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def activity(ledger_engine: Engine) -> Activity:
    return Activity(ledger_engine)


def test_what_happened_stands_between_its_two_marks_and_in_no_others(
    bench: Bench, activity: Activity
) -> None:
    before = activity.mark(bench.clock())
    claim = bench.claim()
    bench.clock.forward(7 * SECOND)
    bench.ledger.conclude(claim, make_conclusion(results=(make_result(),)), bench.clock())
    bench.clock.forward(3 * SECOND)
    (delivery,) = bench.ledger.claim_deliveries(claim.study_id, "PACS", "a", MINUTE)
    bench.ledger.record_delivery(
        delivery.delivery_id, "a", sent=True, status=0, error="", next_attempt_at=None
    )
    after = activity.mark(bench.clock())

    happened = activity.between(before, after)
    assert (happened.instances, happened.instance_bytes, happened.studies) == (1, 1234, 1)
    quiet_s = QUIET.total_seconds()
    assert happened.concluded == (Concluded(Outcome.POSITIVE, False, quiet_s, 7),)
    assert happened.concluded_to_sent_s == (("PACS", 3),)
    nothing = activity.between(after, activity.mark(bench.clock()))
    assert (nothing.instances, nothing.concluded, nothing.concluded_to_sent_s) == (0, (), ())


def test_only_the_first_revision_is_timed_from_its_first_instance(
    bench: Bench, activity: Activity
) -> None:
    bench.conclude()
    before = activity.mark(bench.clock())
    bench.conclude(number=2)
    (concluded,) = activity.between(before, activity.mark(bench.clock())).concluded
    assert concluded.received_to_ready_s is None
    assert concluded.ready_to_concluded_s == 0


def test_the_first_opening_is_timed_from_the_first_instance(
    bench: Bench, activity: Activity
) -> None:
    study_id = bench.conclude().study_id
    before = activity.mark(bench.clock())
    bench.clock.forward(MINUTE)
    opening = {"study_id": study_id, "revision": 1, "opened_at": bench.clock()}
    with bench.engine.begin() as connection:
        connection.execute(insert(StudyOpening), [opening])
    happened = activity.between(before, activity.mark(bench.clock()))
    assert happened.received_to_opened_s == ((QUIET + MINUTE).total_seconds(),)


def test_the_longest_wait_is_that_of_a_study_that_is_not_concluded(
    bench: Bench, activity: Activity
) -> None:
    bench.make_ready(1)
    since = bench.clock()
    bench.make_ready(2)
    standing = activity.standing(bench.clock(), MINUTE, QUIET)
    assert standing.oldest_waiting_since == since
    assert standing.oldest_undispatched_since == since
    assert standing.studies[StudyState.READY] == 2
    assert StudyState.SCREENED not in standing.studies


def test_a_quiet_study_that_nobody_makes_ready_waits_for_the_dispatcher(
    bench: Bench, activity: Activity
) -> None:
    bench.register()
    received_at = bench.clock()
    bench.clock.forward(10 * MINUTE)
    standing = activity.standing(bench.clock(), MINUTE, QUIET)
    assert standing.oldest_undispatched_since == received_at + QUIET
    assert standing.oldest_waiting_since is None


def test_a_queued_study_has_been_dispatched_and_still_waits(
    bench: Bench, activity: Activity
) -> None:
    bench.queue()
    standing = activity.standing(bench.clock(), MINUTE, QUIET)
    assert standing.oldest_undispatched_since is None
    assert standing.oldest_waiting_since == bench.clock()


def test_completed_means_concluded_within_the_time(bench: Bench, activity: Activity) -> None:
    assert not activity.standing(bench.clock(), MINUTE, QUIET).triage_completed
    bench.conclude()
    assert activity.standing(bench.clock(), MINUTE, QUIET).triage_completed
    bench.clock.forward(MINUTE)
    assert not activity.standing(bench.clock(), MINUTE, QUIET).triage_completed


def test_waiting_and_dead_deliveries_and_open_circuits_are_told_by_destination(
    bench: Bench, activity: Activity
) -> None:
    claim = bench.conclude(make_conclusion(results=(make_result(),), destinations=("A", "B")))
    (delivery,) = bench.ledger.claim_deliveries(claim.study_id, "A", "a", MINUTE)
    bench.ledger.record_delivery(
        delivery.delivery_id, "a", sent=False, status=None, error="away", next_attempt_at=None
    )
    state = bench.ledger.record_unreachable("A", "away", 1, MINUTE)
    assert state is CircuitState.OPEN
    standing = activity.standing(bench.clock(), MINUTE, QUIET)
    assert standing.deliveries == {("A", DeliveryState.FAILED): 1, ("B", DeliveryState.PENDING): 1}
    assert standing.circuits_open_since == {"A": bench.clock()}


def test_totals_count_everything(bench: Bench, activity: Activity) -> None:
    bench.conclude()
    bench.register(2)
    assert activity.stored() == (2, 2468)
    assert activity.screened() == 1


def test_a_look_does_not_keep_the_listener_waiting(bench: Bench, activity: Activity) -> None:
    """SQLite has one writer at a time: a reader that locked like one would be in its way."""
    from db.session import reading

    with reading(bench.engine) as session:
        session.connection()
        bench.register()
    assert activity.stored()[0] == 1
