"""The dispatcher on a real ledger and real brokers: what is published, when, and how often."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from db import intake
from db.ledger import Ledger
from db.session import transaction
from db.states import StudyState
from tests.paths import REPOSITORY
from tests.servers.ports import free_port
from tests.servers.product import wait_for
from tests.servers.redis import private_redis, restartable_redis
from tests.unit.db.ledger_factories import (
    Bench,
    ManualClock,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)
from worker.app import make_celery, publish_delivery, publish_study
from worker.database import open_database
from worker.dispatch import Dispatcher, watch_ledger
from worker.folder_watch import FolderWatch
from worker.queues import DELIVERY_QUEUE, QUEUES, TRIAGE_QUEUE, queue_depth
from worker.settings import DeliverySettings, Settings, StudySettings, load_settings

NOTHING = dict.fromkeys(QUEUES, 0)
QUIET = timedelta(seconds=60)
REQUEUE = timedelta(seconds=300)
STUDY = StudySettings(
    quiet_period_s=QUIET.total_seconds(),
    requeue_after_s=REQUEUE.total_seconds(),
    maximum_attempts=2,
    poll_interval_s=0.01,
)
DELIVERY = DeliverySettings(requeue_after_s=REQUEUE.total_seconds())


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """On the embedded broker."""
    return load_settings(data_folder=tmp_path / "data", study=STUDY)


@pytest.fixture
def celery(settings: Settings) -> Iterator[Celery]:
    app = make_celery(settings)
    yield app
    app.close()


@pytest.fixture
def dispatcher(bench: Bench, celery: Celery) -> Dispatcher:
    return Dispatcher(bench.ledger, celery, STUDY, DELIVERY)


def messages(settings: Settings) -> list[list[object]]:
    """The arguments of every message that waits on the embedded broker, in order."""
    return [json.loads(body)[0] for body in bodies(settings)]


def bodies(settings: Settings) -> list[bytes]:
    folder = settings.data_folder / "broker" / "messages"
    envelopes = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.msg"))]
    return [base64.b64decode(envelope["body"]) for envelope in envelopes]


def test_a_study_is_published_only_after_its_quiet_period(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    study_id = bench.register()
    bench.clock.forward(QUIET - timedelta(seconds=1))
    assert dispatcher.look() == 0
    assert bench.state() is StudyState.RECEIVING

    bench.clock.forward(timedelta(seconds=1))
    assert dispatcher.look() == 1
    assert bench.state() is StudyState.QUEUED
    assert messages(settings) == [[study_id, 1]]


def test_each_instance_begins_the_quiet_period_again(bench: Bench, dispatcher: Dispatcher) -> None:
    bench.register(number=1)
    bench.clock.forward(QUIET / 2)
    bench.register(number=2)
    bench.clock.forward(QUIET / 2)
    assert dispatcher.look() == 0
    bench.clock.forward(QUIET / 2)
    assert dispatcher.look() == 1


def test_a_published_study_is_not_published_at_the_next_look(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    bench.register()
    bench.clock.forward(QUIET)
    assert [dispatcher.look() for _ in range(3)] == [1, 0, 0]
    assert len(messages(settings)) == 1


def test_two_dispatchers_publish_each_study_once(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    expected = {(bench.register(study), 1) for study in range(1, 31)}
    bench.clock.forward(QUIET)
    second = Dispatcher(bench.ledger, make_celery(settings), STUDY, DELIVERY)

    def looks(one: Dispatcher) -> int:
        return sum(one.look() for _ in range(4))

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(looks, (dispatcher, second))) == 30

    assert sorted(map(tuple, messages(settings))) == sorted(expected)


def test_what_nobody_took_is_published_again_after_a_while(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    bench.register()
    bench.clock.forward(QUIET)
    dispatcher.look()
    bench.clock.forward(REQUEUE - timedelta(seconds=1))
    assert dispatcher.look() == 0
    bench.clock.forward(timedelta(seconds=1))
    assert dispatcher.look() == 1
    first, again = messages(settings)
    assert first == again


def test_a_study_that_a_worker_took_is_not_published_again(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    study_id = bench.register()
    bench.clock.forward(QUIET)
    dispatcher.look()
    assert bench.ledger.claim_study(study_id, 1, "worker", 10 * REQUEUE)
    bench.clock.forward(REQUEUE)
    assert dispatcher.look() == 0


def test_a_study_whose_worker_died_is_published_again_until_its_attempts_are_spent(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    study_id = bench.register()
    bench.clock.forward(QUIET)
    lease = timedelta(seconds=30)
    for _ in range(STUDY.maximum_attempts):
        assert dispatcher.look() == 1
        assert bench.ledger.claim_study(study_id, 1, "worker", lease)
        bench.clock.forward(lease)
    assert dispatcher.look() == 1  # its report
    assert dispatcher.look() == 0
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.state is StudyState.FAILED
    assert summary.failure_reason == "The screening process ended or took too long."


def test_a_late_instance_has_its_study_published_in_the_next_revision(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    claim = bench.conclude()
    bench.register(number=2)
    bench.clock.forward(QUIET)
    assert dispatcher.look() == 1
    assert messages(settings) == [[claim.study_id, 2]]


def test_due_results_are_published_once_per_destination(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    results = (make_result(1), make_result(2))
    claim = bench.conclude(make_conclusion(results=results, destinations=("PACS", "RESEARCH")))
    assert [dispatcher.look() for _ in range(2)] == [2, 0]
    assert messages(settings) == [[claim.study_id, "PACS"], [claim.study_id, "RESEARCH"]]
    assert queue_depth(settings) == {**NOTHING, DELIVERY_QUEUE: 2}


def test_messages_hold_ids_and_names_of_destinations_alone(
    bench: Bench, dispatcher: Dispatcher, settings: Settings
) -> None:
    bench.conclude(make_conclusion(results=(make_result(1),)))
    bench.register(study=2)
    bench.clock.forward(QUIET)
    assert dispatcher.look() == 2

    folder = settings.data_folder / "broker"
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    written += b"".join(bodies(settings))
    forbidden = [study_uid(1), study_uid(2), "2.25.", "1.2.826", ".dcm", "spool/", "results/"]
    assert [text for text in forbidden if text.encode() in written] == []
    assert sorted(map(len, messages(settings))) == [2, 2]


def test_a_broker_that_is_away_and_comes_back_loses_nothing(
    bench: Bench, settings: Settings, tmp_path: Path
) -> None:
    bench.register()
    claim = bench.conclude(make_conclusion(results=(make_result(1),)), number=2)
    bench.register(study=2)
    bench.clock.forward(QUIET)
    away = settings.model_copy(update={"broker_url": f"redis://127.0.0.1:{free_port()}/0"})
    with pytest.raises(OperationalError):
        Dispatcher(bench.ledger, make_celery(away), STUDY, DELIVERY).look()

    bench.clock.forward(REQUEUE)
    folder = tmp_path / "redis"
    folder.mkdir()
    with private_redis(folder) as url:
        back = settings.model_copy(update={"broker_url": url})
        assert Dispatcher(bench.ledger, make_celery(back), STUDY, DELIVERY).look() == 2
        assert queue_depth(back) == {**NOTHING, TRIAGE_QUEUE: 1, DELIVERY_QUEUE: 1}
    assert bench.state(2) is StudyState.QUEUED
    assert bench.ledger.claim_deliveries(claim.study_id, "PACS", "worker", REQUEUE)


def test_what_could_not_be_published_is_as_soon_as_the_broker_is_back(
    bench: Bench, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    for study in (1, 2):
        bench.register(study=study)
    bench.clock.forward(QUIET)
    with restartable_redis(folder) as server:
        there = settings.model_copy(update={"broker_url": server.url})
        dispatcher = Dispatcher(bench.ledger, make_celery(there), STUDY, DELIVERY)
        server.stop()
        for _ in range(3):
            with pytest.raises(OperationalError):
                dispatcher.look()
        assert bench.state(2) is StudyState.QUEUED
        server.start()
        assert dispatcher.look() == 2
        assert queue_depth(there) == {**NOTHING, TRIAGE_QUEUE: 2}
        assert dispatcher.look() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_dispatcher_outlives_a_broker_that_is_away(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.dispatch._PAUSE_AFTER_TROUBLE_S", 0.01)
    bench.register()
    bench.clock.forward(QUIET)
    away = settings.model_copy(update={"broker_url": f"redis://127.0.0.1:{free_port()}/0"})
    looked = _run_for_looks(Dispatcher(bench.ledger, make_celery(away), STUDY, DELIVERY), bench)
    assert looked >= 2
    assert bench.state() is StudyState.QUEUED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_dispatcher_outlives_a_broker_folder_that_cannot_be_written(
    bench: Bench, settings: Settings, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.dispatch._PAUSE_AFTER_TROUBLE_S", 0.01)
    folder = settings.data_folder / "broker" / "messages"
    folder.rmdir()
    folder.write_text("in the way")
    bench.register()
    bench.clock.forward(QUIET)
    assert _run_for_looks(Dispatcher(bench.ledger, celery, STUDY, DELIVERY), bench) >= 2


def _run_for_looks(dispatcher: Dispatcher, bench: Bench) -> int:
    """Let it run until it has looked twice; each look finds the study overdue again."""
    stop, looks = Event(), 0
    real = bench.ledger.mark_quiet_studies_ready

    def counted(quiet_period: timedelta) -> int:
        nonlocal looks
        looks += 1
        bench.clock.forward(REQUEUE)
        if looks >= 2:
            stop.set()
        return real(quiet_period)

    bench.ledger.mark_quiet_studies_ready = counted  # type: ignore[method-assign]
    thread = Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return looks


def test_the_messages_of_redis_hold_ids_alone(
    redis_url: str, settings: Settings, tmp_path: Path
) -> None:
    app = make_celery(settings.model_copy(update={"broker_url": redis_url}))
    publish_study(app, 17, 3)
    publish_delivery(app, 17, "PACS")
    with redis.Redis.from_url(redis_url) as client:
        (study,) = client.lrange(TRIAGE_QUEUE, 0, -1)
        (delivery,) = client.lrange(DELIVERY_QUEUE, 0, -1)
    assert json.loads(study)["headers"]["argsrepr"] == "(17, 3)"
    assert json.loads(delivery)["headers"]["argsrepr"] == "(17, 'PACS')"
    assert not (tmp_path / "data" / "broker").exists()


@pytest.fixture
def resting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bool], Dispatcher]]:
    """Start a dispatcher over an empty SQLite ledger that is told of changes, or not."""
    monkeypatch.setattr("worker.dispatch._LONGEST_REST_S", 60.0)
    stop, threads, watches = Event(), [], []
    settings = load_settings(data_folder=tmp_path / "data", study=STUDY)

    def start(watched: bool) -> Dispatcher:
        ledger = CountingLedger(open_database(settings), ManualClock())
        changes = watch_ledger(settings) if watched else None
        watches.append(changes)
        dispatcher = Dispatcher(ledger, make_celery(settings), STUDY, DELIVERY)
        threads.append(Thread(target=dispatcher.run, args=(stop, changes)))
        threads[-1].start()
        return dispatcher

    yield start
    stop.set()
    for changes in watches:
        if changes is not None:
            changes.wake()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


class CountingLedger(Ledger):
    """Counts what a dispatcher asks for."""

    looks = 0
    questions = 0

    def mark_quiet_studies_ready(self, quiet_period: timedelta) -> int:
        self.looks += 1
        return super().mark_quiet_studies_ready(quiet_period)

    def has_unfinished_work(self) -> bool:
        self.questions += 1
        return super().has_unfinished_work()


@pytest.mark.parametrize("watched", [True, False])
def test_an_idle_dispatcher_looks_again_as_soon_as_another_process_has_registered_something(
    resting: Callable[[bool], Dispatcher], settings: Settings, watched: bool
) -> None:
    ledger = resting(watched).ledger
    assert isinstance(ledger, CountingLedger)
    wait_for(lambda: ledger.questions, "the first look is over")
    time.sleep(0.5)
    assert ledger.looks == 1
    if watched:
        assert ledger.questions == 1
    register = (
        "from tests.unit.db.ledger_factories import Bench; import sys\n"
        "from db.session import make_engine; Bench(make_engine(sys.argv[1])).register()"
    )
    url = settings.effective_database_url
    subprocess.run([sys.executable, "-c", register, url], check=True, cwd=REPOSITORY)
    wait_for(
        lambda: ledger.looks >= 3, "it looks, and goes on while the study waits", patience_s=60
    )


class EarlyChange(FolderWatch):
    """Tells of one change only, when it is told to: of the first bytes of a commit, say."""

    def __init__(self) -> None:
        self.told = Event()
        self._stopped = Event()

    def wait(self, seconds: float) -> bool:
        if not self.told.is_set():
            return self.told.wait(seconds)
        self._stopped.wait(seconds)
        return False

    def wake(self) -> None:
        self._stopped.set()
        self.told.set()


def test_a_commit_that_was_told_of_before_it_could_be_read_is_not_overlooked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.dispatch._LONGEST_REST_S", 300.0)
    engine, changes, stop = open_database(settings), EarlyChange(), Event()
    ledger = CountingLedger(engine, ManualClock())
    dispatcher = Dispatcher(ledger, make_celery(settings), STUDY, DELIVERY)
    thread = Thread(target=dispatcher.run, args=(stop, changes))
    thread.start()
    try:
        wait_for(lambda: ledger.questions, "the first look is over")
        with transaction(engine) as session:
            intake.register_instances(session.connection(), [make_instance()], ManualClock()())
            changes.told.set()
            time.sleep(1)
        wait_for(lambda: ledger.looks >= 4, "it looks again and again", patience_s=60)
    finally:
        stop.set()
        changes.wake()
        thread.join(30)
        engine.dispose()
    assert not thread.is_alive()


def test_a_ledger_on_a_server_is_asked_instead_of_watched(settings: Settings) -> None:
    server = settings.model_copy(update={"database_url": "postgresql+psycopg://db/ledger"})
    assert watch_ledger(server) is None
