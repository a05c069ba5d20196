"""Ready by progress: a queue that moves is ready, one that nothing leaves is not."""

import pytest

from tests.unit.worklist.snapshots import LIMITS, MIB, MINUTE, NOW, make_snapshot, make_standing
from worklist.monitor.readiness import not_ready
from worklist.monitor.snapshot import LedgerCondition

LONG = NOW - 6 * MINUTE


def reasons(**changes: object) -> list[str]:
    return [one.reason for one in not_ready(make_snapshot(**changes), LIMITS, NOW)]


def test_a_healthy_system_is_ready() -> None:
    assert reasons() == []


def test_before_the_first_look_nothing_is_ready() -> None:
    assert [one.reason for one in not_ready(None, LIMITS, NOW)] == ["no-look"]


def test_looks_that_stopped_are_not_taken_for_good_ones() -> None:
    snapshot = make_snapshot()
    assert not_ready(snapshot, LIMITS, NOW + MINUTE / 2) == []
    assert [one.reason for one in not_ready(snapshot, LIMITS, NOW + MINUTE)] == ["no-look"]


@pytest.mark.parametrize(
    ("standing", "ready"),
    [
        (make_standing(oldest_waiting_since=LONG, triage_completed=True), True),
        (make_standing(oldest_waiting_since=LONG, triage_completed=False), False),
        (make_standing(oldest_waiting_since=NOW - MINUTE, triage_completed=False), True),
        (make_standing(oldest_waiting_since=None, triage_completed=False), True),
    ],
)
def test_a_long_wait_is_unready_only_without_progress(standing: object, ready: bool) -> None:
    assert reasons(standing=standing) == ([] if ready else ["no-progress"])


def test_all_reasons_are_told_together() -> None:
    away = {"ledger": LedgerCondition.AWAY, "standing": None, "listener_open": False}
    assert reasons(**away, disk_free=MIB) == ["ledger-away", "disk-full", "listener-down"]
    assert reasons(ledger=LedgerCondition.OUT_OF_DATE) == ["ledger-out-of-date"]
    assert reasons(disk_free=None) == ["disk-away"]
