"""The monitor over real parts: what it answers, what it counts, whom it tells."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from db.session import make_engine
from dicom_node.spool import Spool
from tests.servers.ports import free_port
from tests.servers.web_hook import HookReceiver
from tests.unit.db.ledger_factories import (
    Bench,
    ManualClock,
    instance_uid,
    make_conclusion,
    make_result,
    study_uid,
)
from tests.unit.worklist.snapshots import LIMITS, NOW
from worklist.monitor.alarms import Alarm, Kind, Severity, Trouble
from worklist.monitor.app import make_monitor
from worklist.monitor.notifier import Notifier
from worklist.monitor.parts import ModelsInUse, MonitorParts, Webhook
from worklist.monitor.watch import Watch
from worklist.signing import SIGNATURE, signature

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PREFIX = "fracture_screen_"


class Around:
    """Broker and models as the test wants them."""

    def __init__(self) -> None:
        self.depth: dict[str, int] | None = {"triage": 2}
        self.missing: tuple[str, ...] = ()

    def queues(self) -> dict[str, int] | None:
        return self.depth

    def models(self) -> ModelsInUse:
        return ModelsInUse({"champion": "net-1.0"}, self.missing)


class Rig:
    """A monitor under a manual clock, asked without a network."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.bench, self.around, self.folder = Bench(engine), Around(), folder
        self.parts = MonitorParts(
            engine=engine,
            clock=self.bench.clock,
            surroundings=self.around,
            limits=replace(LIMITS, disk_watermark=0, disk_warning=0),
            quiet=SECOND,
            data_folder=folder,
            quarantine_folder=folder / "spool" / "quarantine",
            listener=("127.0.0.1", free_port()),
            destinations=("PACS",),
            version="1.2.3",
            webhook=None,
        )
        self.watch = Watch(self.parts)
        self.client = TestClient(make_monitor(self.watch, self.parts.limits, self.bench.clock))

    def look(self, after: timedelta = 5 * SECOND) -> None:
        self.bench.clock.forward(after)
        self.watch.look()

    def reasons(self) -> list[str]:
        answer = self.client.get("/ready")
        assert answer.status_code == (503 if answer.json()["reasons"] else 200)
        return [one["reason"] for one in answer.json()["reasons"]]

    def alarms(self) -> list[str]:
        return [one["id"] for one in self.client.get("/alarms").json()]

    def metrics(self) -> dict[tuple[str, ...], float]:
        """(name without prefix, label values …) → value."""
        text = self.client.get("/metrics").text
        return {
            (sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "le" not in sample.labels
        }


@pytest.fixture
def rig(ledger_engine: Engine, tmp_path: Path) -> Rig:
    return Rig(ledger_engine, tmp_path)


def test_before_the_first_look_it_lives_and_is_not_ready(rig: Rig) -> None:
    assert rig.client.get("/live").json() == {"live": True}
    assert rig.reasons() == ["no-look"]


def test_a_port_that_nobody_opened_is_no_listener(rig: Rig) -> None:
    rig.look()
    assert rig.reasons() == ["listener-down"]


def test_probes_are_answered_from_the_last_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.look()
    monkeypatch.setattr(Watch, "look", lambda self: pytest.fail("looked for a probe"))
    rig.parts.engine.dispose()
    for path in ("/live", "/ready", "/metrics", "/alarms"):
        assert rig.client.get(path).status_code in (200, 503)


def test_a_study_that_waits_without_progress_is_told(rig: Rig) -> None:
    rig.bench.queue()
    rig.look(6 * MINUTE)
    assert "no-progress" in rig.reasons()
    claim = rig.bench.ledger.claim_study(1, 1, "worker", MINUTE)
    assert claim is not None
    rig.bench.ledger.conclude(claim, make_conclusion(), rig.bench.clock())
    rig.look()
    assert "no-progress" not in rig.reasons()


def test_what_happens_is_counted_once_a_look_later(rig: Rig) -> None:
    rig.look()
    rig.bench.conclude(make_conclusion(results=(make_result(),)))
    for _ in range(4):
        rig.look()
    found = rig.metrics()
    assert found["instances_received_total",] == 1
    assert found["received_bytes_total",] == 1234
    assert found["studies_received_total",] == 1
    assert found["outcomes_total", "POSITIVE", "triage"] == 1
    assert found["outcomes_total", "POSITIVE", "sweep"] == 0
    assert found["received_to_ready_seconds_count",] == 1
    assert found["ready_to_concluded_seconds_count",] == 1
    assert found["queue_messages", "triage"] == 2
    assert found["deliveries", "PACS", "pending"] == 1
    assert found["build", "1.2.3"] == 1
    assert found["model", "net-1.0", "champion"] == 1
    rig.look(2 * MINUTE)
    found = rig.metrics()
    assert found["spool_files",] == 1
    assert found["studies", "SCREENED"] == 1
    assert found["outcomes_total", "POSITIVE", "triage"] == 1


def test_destinations_that_the_settings_do_not_have_are_one_label(rig: Rig) -> None:
    destinations = tuple(f"old {number}" for number in range(5))
    rig.bench.conclude(make_conclusion(results=(make_result(),), destinations=destinations))
    rig.look()
    found = rig.metrics()
    assert found["deliveries", "other", "pending"] == 5
    assert {key[1] for key in found if key[0] == "deliveries"} == {"PACS", "other"}


def test_metrics_name_no_study_and_no_device(rig: Rig) -> None:
    rig.look()
    rig.bench.conclude(make_conclusion(results=(make_result(),)))
    for _ in range(3):
        rig.look()
    shown = rig.client.get("/metrics").text + rig.client.get("/alarms").text
    for forbidden in (study_uid(1), instance_uid(1, 1), "MODALITY", "2.25."):
        assert forbidden not in shown


def test_a_quarantined_file_is_an_alarm_until_it_is_moved_away(rig: Rig) -> None:
    spool = Spool(rig.folder / "spool")
    kept = spool.quarantine(spool.write(b"12345").path)
    rig.look()
    rig.look(MINUTE)
    assert "quarantine" in rig.alarms()
    assert rig.metrics()["quarantine_bytes",] == 5
    assert rig.metrics()["alarms", "warning"] == 1
    kept.unlink()
    rig.look(2 * MINUTE)
    rig.look(MINUTE)
    assert "quarantine" not in rig.alarms()


def test_a_broker_that_is_away_and_a_bundle_that_is_gone_are_alarms(rig: Rig) -> None:
    rig.around.depth, rig.around.missing = None, ("net-1.0",)
    rig.look()
    rig.look(MINUTE)
    assert {"broker-away", "bundle-missing"} <= set(rig.alarms())
    assert rig.metrics()["up", "broker"] == 0


def test_tables_of_another_version_are_told(rig: Rig) -> None:
    with rig.parts.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    rig.look()
    assert "ledger-out-of-date" in rig.reasons()
    assert rig.metrics()["up", "ledger"] == 0


def test_a_ledger_that_cannot_be_asked_is_told_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    rig = Rig(make_engine(f"sqlite:///{folder / 'ledger.sqlite3'}"), tmp_path)
    rig.look()
    assert "ledger-away" in rig.reasons()
    folder.mkdir()
    rig.look(2 * MINUTE)
    assert "ledger-out-of-date" in rig.reasons()


SECRET = b"not much of a secret"
ALARM = Alarm(
    Trouble(Kind.LISTENER_DOWN, Severity.CRITICAL, "It is down.", "Start it."), NOW, NOW, NOW
)


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def notifier(receiver: HookReceiver, clock: ManualClock) -> Notifier:
    hook = Webhook(receiver.url, SECRET, 5, timedelta(hours=12), "FRACTURESCREEN@here")
    return Notifier(hook, clock)


def events(receiver: HookReceiver) -> list[str]:
    return [json.loads(post.body)["event"] for post in receiver.requests]


def test_an_alarm_is_sent_once_and_signed(receiver: HookReceiver, notifier: Notifier) -> None:
    notifier.tell([ALARM])
    notifier.tell([ALARM])
    (post,) = receiver.requests
    assert post.headers[SIGNATURE.lower()] == signature(SECRET, NOW, post.body)
    message = json.loads(post.body)
    assert (message["event"], message["sender"]) == ("raised", "FRACTURESCREEN@here")
    assert message["alarm"]["id"] == "listener-down"
    assert message["alarm"]["remedy"] == "Start it."


def test_an_alarm_that_lasts_is_sent_again_and_its_end_too(
    receiver: HookReceiver, notifier: Notifier, clock: ManualClock
) -> None:
    for hours in (0, 11, 1, 11):
        clock.forward(timedelta(hours=hours))
        notifier.tell([ALARM])
    notifier.tell([])
    notifier.tell([])
    assert events(receiver) == ["raised", "still raised", "resolved"]


def test_what_cannot_be_sent_is_tried_again_after_growing_pauses(
    receiver: HookReceiver, notifier: Notifier, clock: ManualClock
) -> None:
    receiver.status = 500
    tries = []
    for second in range(60):
        notifier.tell([ALARM])
        tries.append(len(receiver.requests))
        clock.now = NOW + timedelta(seconds=second)
    assert len(receiver.requests) == 4
    receiver.status = 204
    clock.forward(timedelta(minutes=10))
    notifier.tell([ALARM])
    notifier.tell([ALARM])
    assert len(receiver.requests) == 5


def test_an_alarm_that_ended_before_it_could_be_sent_is_never_sent(
    receiver: HookReceiver, notifier: Notifier, clock: ManualClock
) -> None:
    receiver.status = 500
    notifier.tell([ALARM])
    receiver.status = 204
    clock.forward(timedelta(hours=1))
    notifier.tell([])
    assert events(receiver) == ["raised"]


def test_an_end_that_could_not_be_sent_is_sent_later(
    receiver: HookReceiver, notifier: Notifier, clock: ManualClock
) -> None:
    notifier.tell([ALARM])
    receiver.status = 500
    notifier.tell([])
    receiver.status = 204
    clock.forward(timedelta(hours=1))
    notifier.tell([])
    assert events(receiver) == ["raised", "resolved", "resolved"]


def test_a_receiver_that_is_away_stops_nothing(clock: ManualClock) -> None:
    hook = Webhook(f"http://127.0.0.1:{free_port()}/", b"s", 1, timedelta(hours=1), "x")
    Notifier(hook, clock).tell([ALARM])
