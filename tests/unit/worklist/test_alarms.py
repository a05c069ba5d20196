"""From looks to alarms: what is one, when it is raised, and when it ends."""

from datetime import timedelta

import pytest

from db.radiograph_counts import NotAnalysedShare
from db.states import DeliveryState, StudyState
from tests.unit.worklist.snapshots import (
    LIMITS,
    MIB,
    MINUTE,
    NOW,
    SECOND,
    make_snapshot,
    make_standing,
)
from worklist.monitor.alarms import Alarm, Kind, advance, troubles
from worklist.monitor.snapshot import Folder, LedgerCondition, Snapshot

DEAD = {("pacs", DeliveryState.FAILED): 3}

TROUBLED = {
    Kind.LEDGER_AWAY: {"ledger": LedgerCondition.AWAY, "standing": None},
    Kind.LEDGER_OUT_OF_DATE: {"ledger": LedgerCondition.OUT_OF_DATE, "standing": None},
    Kind.BROKER_AWAY: {"queues": None},
    Kind.LISTENER_DOWN: {"listener_open": False},
    Kind.TRIAGE_WAITING: {"standing": make_standing(oldest_waiting_since=NOW - 11 * MINUTE)},
    Kind.DISPATCH_STALLED: {"standing": make_standing(oldest_undispatched_since=NOW - 2 * MINUTE)},
    Kind.SWEEP_STALLED: {
        "standing": make_standing(sweeps_running=1, sweep_advanced_at=NOW - 16 * MINUTE)
    },
    Kind.STUDIES_FAILED: {"standing": make_standing(studies={StudyState.FAILED: 1})},
    Kind.DEAD_LETTERS: {"standing": make_standing(deliveries=DEAD)},
    Kind.CIRCUIT_OPEN: {"standing": make_standing(circuits_open_since={"pacs": NOW - 11 * MINUTE})},
    Kind.DISK_LOW: {"disk_free": 4000 * MIB},
    Kind.DISK_FULL: {"disk_free": 400 * MIB},
    Kind.QUARANTINE: {"quarantine": Folder(2, 100)},
    Kind.BUNDLE_MISSING: {"missing_bundles": ("net-2.0",)},
    Kind.IDENTITY_CONFLICT: {"standing": make_standing(identity_conflicts=1)},
    Kind.NOT_ANALYSED: {"not_analysed": (NotAnalysedShare("sender CR1", 19, 20),)},
}


def look(after: timedelta, **changes: object) -> Snapshot:
    return make_snapshot(taken_at=NOW + after, **changes)


def follow(*looks: Snapshot) -> list[list[Alarm]]:
    """The alarms after each look."""
    known: list[Alarm] = []
    answers = []
    for one in looks:
        raised = {alarm.id for alarm in known if alarm.raised_at is not None}
        known = advance(known, troubles(one, LIMITS, raised), one, LIMITS)
        answers.append(known)
    return answers


def raised(alarms: list[Alarm]) -> list[str]:
    return [alarm.id for alarm in alarms if alarm.raised_at is not None]


def test_a_healthy_system_has_no_trouble() -> None:
    assert troubles(make_snapshot(), LIMITS, ()) == []


def test_every_kind_of_trouble_has_its_case_here() -> None:
    assert set(TROUBLED) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_each_trouble_is_seen_alone_and_says_what_to_do(kind: Kind) -> None:
    (found,) = troubles(make_snapshot(**TROUBLED[kind]), LIMITS, ())
    assert found.kind is kind
    assert found.summary.endswith(".")
    assert found.remedy.endswith(".")


@pytest.mark.parametrize("kind", [Kind.DEAD_LETTERS, Kind.CIRCUIT_OPEN])
def test_trouble_with_a_destination_names_it(kind: Kind) -> None:
    (found,) = troubles(make_snapshot(**TROUBLED[kind]), LIMITS, ())
    assert found.id == f"{kind}/pacs"
    assert "pacs" in found.summary


def test_waiting_below_the_limit_is_no_trouble() -> None:
    standing = make_standing(oldest_waiting_since=NOW - 9 * MINUTE)
    assert troubles(make_snapshot(standing=standing), LIMITS, ()) == []


def test_trouble_is_an_alarm_only_once_it_has_lasted() -> None:
    down = {"listener_open": False}
    answers = follow(look(0 * SECOND, **down), look(19 * SECOND, **down), look(20 * SECOND, **down))
    assert [raised(one) for one in answers] == [[], [], ["listener-down"]]
    assert answers[-1][0].since == NOW


def test_trouble_that_passes_at_once_is_forgotten() -> None:
    down = {"listener_open": False}
    answers = follow(look(0 * SECOND, **down), look(10 * SECOND), look(25 * SECOND, **down))
    assert answers[1] == []
    assert raised(answers[2]) == []


def test_an_alarm_that_flickers_stays_one_and_ends_once() -> None:
    down = {"listener_open": False}
    looks = [look(at * SECOND, **down) for at in (0, 20)]
    looks += [look(50 * SECOND), look(60 * SECOND, **down), look(110 * SECOND), look(121 * SECOND)]
    answers = follow(*looks)
    assert [raised(one) for one in answers] == [[], *[["listener-down"]] * 4, []]
    assert answers[1][0].raised_at == answers[3][0].raised_at


def test_room_that_hovers_around_the_limit_is_one_alarm() -> None:
    low = [look(at * SECOND, disk_free=4999 * MIB) for at in (0, 20)]
    hovering = [look((40 + 100 * at) * SECOND, disk_free=5100 * MIB) for at in range(3)]
    enough = look(1000 * SECOND, disk_free=6000 * MIB)
    answers = follow(*low, *hovering, enough)
    assert [raised(one) for one in answers] == [[], *[["disk-low"]] * 4, []]


def test_what_the_ledger_said_stays_while_it_is_away() -> None:
    dead = [look(at * SECOND, standing=make_standing(deliveries=DEAD)) for at in (0, 20)]
    away = {"ledger": LedgerCondition.AWAY, "standing": None}
    gone = [look(at * SECOND, **away) for at in (30, 60, 3600)]
    back = look(3601 * SECOND)
    answers = follow(*dead, *gone, back)
    assert raised(answers[4]) == ["ledger-away", "dead-letters/pacs"]
    assert raised(answers[5]) == ["ledger-away", "dead-letters/pacs"]
    later = advance(answers[5], [], look(3700 * SECOND), LIMITS)
    assert later == []


def test_most_radiographs_of_an_origin_not_analysed_is_an_alarm() -> None:
    def look(share: int, raised: tuple[str, ...] = ()) -> list[str]:
        origin = NotAnalysedShare("device Maker X1", share, 100)
        found = troubles(make_snapshot(not_analysed=(origin,)), LIMITS, raised)
        return [one.id for one in found]

    assert look(79) == []
    assert look(80) == ["not-analysed/device Maker X1"]
    assert look(75, ("not-analysed/device Maker X1",)) == ["not-analysed/device Maker X1"]
