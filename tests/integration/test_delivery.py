"""Delivery from a real ledger to real destinations: what is recorded of each answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import uid
from pynetdicom import AE, evt
from sqlalchemy import Engine
from structlog.testing import capture_logs

from db.records import DeliverySummary
from db.states import DeliveryState
from tests.servers.pacs import FolderPacs
from tests.servers.ports import free_port
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.delivery import Deliverer, backoff
from worker.settings import DeliverySettings, Destination, Settings, load_settings

DELIVERY = DeliverySettings(maximum_tries=3, first_backoff_s=30, maximum_backoff_s=600, timeout_s=5)
PACS, OWNER = "PACS", "worker-1"


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


@pytest.fixture
def study_id(bench: Bench, tmp_path: Path) -> int:
    """A study with two result objects on disk for the destination PACS."""
    results = []
    for number in (1, 2):
        path = tmp_path / "data" / make_result(number).path
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = radiograph_dataset(number)
        dataset.SOPInstanceUID = make_result(number).sop_instance_uid
        write_instance(dataset, path)
        results.append(make_result(number))
    claim = bench.conclude(make_conclusion(results=tuple(results), destinations=(PACS,)))
    return claim.study_id


def deliverer(bench: Bench, folder: Path, port: int, name: str = PACS) -> Deliverer:
    destination = Destination(name=name, ae_title=FolderPacs.ae_title, host="127.0.0.1", port=port)
    return Deliverer(_settings(folder, destination), bench.ledger, bench.clock)


def _settings(folder: Path, destination: Destination) -> Settings:
    return load_settings(
        data_folder=folder / "data", delivery=DELIVERY, destinations=(destination,)
    )


def deliveries(bench: Bench) -> list[DeliverySummary]:
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    return [delivery for result in summary.results for delivery in result.deliveries]


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[int, list[str]]]:
    """A destination that gives these answers in turn; yields its port and what it was sent."""
    received: list[str] = []
    answers = iter(statuses)

    def answer(event: evt.Event) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return next(answers)

    ae = AE(FolderPacs.ae_title)
    ae.add_supported_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)]
    )
    try:
        yield server.server_address[1], received
    finally:
        server.shutdown()


def test_results_that_arrive_are_recorded_as_sent(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs:
        deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
    assert sorted(pacs.received) == ["2.25.1.1", "2.25.1.2"]
    assert [(one.state, one.last_status, one.attempts) for one in deliveries(bench)] == [
        (DeliveryState.SENT, 0x0000, 1)
    ] * 2
    assert all(one.sent_at == bench.clock() for one in deliveries(bench))


def test_a_repeated_call_sends_nothing(bench: Bench, study_id: int, tmp_path: Path) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs:
        for _ in range(3):
            deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
            bench.clock.forward(timedelta(days=1))
    assert len(pacs.received) == 2


def test_a_group_that_another_worker_holds_is_left_alone(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    assert bench.ledger.claim_deliveries(study_id, PACS, "other", timedelta(minutes=5))
    with FolderPacs(tmp_path / "pacs") as pacs:
        deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
    assert pacs.received == []


def test_a_warning_counts_as_sent_and_keeps_its_words(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    with answering(0xB000, 0x0000) as (port, _), capture_logs() as logs:
        deliverer(bench, tmp_path, port).deliver(study_id, PACS, OWNER)
    warned, plain = deliveries(bench)
    assert (warned.state, warned.last_status) == (DeliveryState.SENT, 0xB000)
    assert "0xB000 Warning" in warned.last_error
    assert (plain.state, plain.last_error) == (DeliveryState.SENT, "")
    levels = {entry["event"]: entry["log_level"] for entry in logs}
    assert levels == {"result_sent_with_warning": "warning", "result_sent": "info"}


def test_one_refused_object_waits_alone(bench: Bench, study_id: int, tmp_path: Path) -> None:
    with answering(0x0000, 0xA700, 0x0000) as (port, received):
        sender = deliverer(bench, tmp_path, port)
        sender.deliver(study_id, PACS, OWNER)
        sent, refused = deliveries(bench)
        assert (sent.state, refused.state) == (DeliveryState.SENT, DeliveryState.PENDING)
        assert (refused.last_status, refused.sent_at) == (0xA700, None)
        assert "0xA700" in refused.last_error
        assert refused.next_attempt_at == bench.clock() + timedelta(seconds=30)

        bench.clock.forward(timedelta(seconds=30))
        sender.deliver(study_id, PACS, OWNER)
    assert [one.state for one in deliveries(bench)] == [DeliveryState.SENT] * 2
    assert received == ["2.25.1.1", "2.25.1.2", "2.25.1.2"]


def test_a_destination_that_is_away_is_tried_with_growing_pauses_and_then_given_up(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    sender = deliverer(bench, tmp_path, free_port())
    with capture_logs() as logs:
        for attempt in (1, 2):
            sender.deliver(study_id, PACS, OWNER)
            (state, due), *_ = {(one.state, one.next_attempt_at) for one in deliveries(bench)}
            assert state is DeliveryState.PENDING
            assert due == bench.clock() + backoff(attempt, DELIVERY)
            assert not bench.ledger.due_deliveries(10)
            bench.clock.forward(backoff(attempt, DELIVERY))
            assert bench.ledger.due_deliveries(10)
        sender.deliver(study_id, PACS, OWNER)

    for one in deliveries(bench):
        assert (one.state, one.attempts, one.last_status) == (DeliveryState.FAILED, 3, None)
        assert "check that it runs" in one.last_error
    assert [entry["log_level"] for entry in logs] == ["warning"] * 4 + ["critical"] * 2


def test_what_was_given_up_can_be_replayed_once_the_destination_is_back(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    with answering(*[0x0122] * 6) as (port, _):
        for _ in range(DELIVERY.maximum_tries):
            deliverer(bench, tmp_path, port).deliver(study_id, PACS, OWNER)
            bench.clock.forward(timedelta(hours=1))
    assert {one.state for one in deliveries(bench)} == {DeliveryState.FAILED}

    assert bench.ledger.replay_failed_deliveries(PACS) == 2
    with FolderPacs(tmp_path / "pacs") as pacs:
        deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
    assert len(pacs.received) == 2
    assert {one.state for one in deliveries(bench)} == {DeliveryState.SENT}


def test_a_destination_that_left_the_settings_is_given_up_by_name(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    deliverer(bench, tmp_path, free_port(), name="OTHER").deliver(study_id, PACS, OWNER)
    for one in deliveries(bench):
        assert one.state is DeliveryState.FAILED
        assert one.last_error == "destination PACS is no longer in the settings"


def test_a_result_file_that_is_gone_fails_alone(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    (tmp_path / "data" / make_result(1).path).unlink()
    with FolderPacs(tmp_path / "pacs") as pacs:
        deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
    gone, sent = deliveries(bench)
    assert (gone.state, sent.state) == (DeliveryState.PENDING, DeliveryState.SENT)
    assert "cannot read" in gone.last_error


def test_the_log_names_the_object_and_holds_no_patient(
    bench: Bench, study_id: int, tmp_path: Path
) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs, capture_logs() as logs:
        pacs.refusing = True
        deliverer(bench, tmp_path, pacs.port).deliver(study_id, PACS, OWNER)
    postponed = [entry for entry in logs if entry["event"] == "delivery_postponed"]
    assert {entry["sop_instance_uid"] for entry in postponed} == {"2.25.1.1", "2.25.1.2"}
    assert {entry["status"] for entry in postponed} == {"0xA700"}
    assert "Phantom" not in str(logs)
