"""Storage commitment and read-back with real peers, results on either association, and Orthanc."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import Engine

from db.states import DeliveryState
from dicom_node.commitment_scu import CommitmentReport, answer_report, read_report
from dicom_node.errors import MalformedInstance
from dicom_node.instance import RemoteAE
from tests.integration.outbox import Outbox
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.ports import free_port
from tests.servers.product import wait_for
from tests.servers.scripted_pacs import ScriptedPacs
from worker.confirmation import record_report

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases", "tests.servers.orthanc")

SENT, COMMITTED, FAILED = DeliveryState.SENT, DeliveryState.COMMITTED, DeliveryState.FAILED
COMMITMENT = {"commitment": True}


@pytest.fixture
def make_outbox(ledger_engine: Engine, tmp_path: Path) -> Callable[..., Outbox]:
    def make(remote: RemoteAE, **options: object) -> Outbox:
        return Outbox(ledger_engine, tmp_path, remote, **options)

    return make


@contextmanager
def listener_of(outbox: Outbox, port: int) -> Iterator[RemoteAE]:
    """Our side for reports on a new association, bound as the product's listener binds it."""
    ae = AE("FRACTURESCREEN")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def on_report(report: CommitmentReport) -> bool:
        return record_report(outbox.ledger, report)

    handlers = [(evt.EVT_N_EVENT_REPORT, answer_report, [on_report])]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield RemoteAE("FRACTURESCREEN", "127.0.0.1", port)
    finally:
        server.shutdown()


def test_a_result_on_the_association_of_the_request_commits(
    make_outbox: Callable[..., Outbox],
) -> None:
    with ScriptedPacs(commitment="same") as pacs:
        outbox = make_outbox(pacs.remote, destination=COMMITMENT)
        assert [row.state for row in outbox.deliver()] == [SENT] * 2
        assert [row.state for row in outbox.confirm()] == [COMMITTED] * 2
    assert pacs.transactions == ["2.25.9001"]


def test_a_result_on_a_new_association_to_our_listener_commits(
    make_outbox: Callable[..., Outbox],
) -> None:
    pacs = ScriptedPacs(commitment="new")
    outbox = make_outbox(pacs.remote, destination=COMMITMENT)
    with listener_of(outbox, free_port()) as ours, pacs:
        pacs.report_to = ours
        outbox.deliver()
        outbox.confirm()
        wait_for(lambda: outbox.states() == [COMMITTED] * 2, "the result came")


def test_an_object_that_the_pacs_lost_is_a_dead_letter(make_outbox: Callable[..., Outbox]) -> None:
    with ScriptedPacs(commitment="same") as pacs:
        outbox = make_outbox(pacs.remote, destination=COMMITMENT)
        pacs.lost = {outbox.uids[1]: 0x0112}
        outbox.deliver()
        rows = outbox.confirm()
    assert [row.state for row in rows] == [COMMITTED, FAILED]
    assert "0x0112" in rows[1].last_error


def test_a_passing_failure_is_asked_again_under_a_new_transaction(
    make_outbox: Callable[..., Outbox],
) -> None:
    with ScriptedPacs(commitment="same") as pacs:
        outbox = make_outbox(pacs.remote, destination=COMMITMENT)
        pacs.lost = {outbox.uids[1]: 0x0213}
        outbox.deliver()
        assert [row.state for row in outbox.confirm()] == [COMMITTED, SENT]
        pacs.lost = {}
        outbox.forward(900)
        assert outbox.ledger.due_confirmations(10)
        assert [row.state for row in outbox.confirm()] == [COMMITTED] * 2
    assert pacs.transactions == ["2.25.9001", "2.25.9002"]


def test_a_destination_that_never_says_is_asked_so_often_and_then_given_up(
    make_outbox: Callable[..., Outbox],
) -> None:
    with ScriptedPacs(commitment="refused") as pacs:
        outbox = make_outbox(
            pacs.remote, destination=COMMITMENT, delivery={"confirmation_tries": 2}
        )
        outbox.deliver()
        rows = outbox.confirm()
        assert [row.state for row in rows] == [SENT] * 2
        assert "refused a storage commitment request with status 0x0110" in rows[0].last_error
        outbox.confirm()
        rows = outbox.confirm()
    assert [row.state for row in rows] == [FAILED] * 2
    assert rows[0].last_error == "sent, but not confirmed by the destination after 2 requests"


def test_a_destination_without_the_service_says_so(make_outbox: Callable[..., Outbox]) -> None:
    with ScriptedPacs() as pacs:
        outbox = make_outbox(pacs.remote, destination=COMMITMENT)
        outbox.deliver()
        rows = outbox.confirm()
    assert [row.state for row in rows] == [SENT] * 2
    assert "presentation contexts" in rows[0].last_error


@needs_orthanc
def test_orthanc_commits_by_a_new_association(
    make_outbox: Callable[..., Outbox], orthanc: Orthanc
) -> None:
    outbox = make_outbox(orthanc.remote, destination=COMMITMENT)
    with listener_of(outbox, free_port()) as ours:
        orthanc.know_modality("screen", ours)
        outbox.deliver()
        outbox.confirm()
        wait_for(lambda: outbox.states() == [COMMITTED] * 2, "Orthanc's result came")


@needs_orthanc
def test_orthanc_says_what_it_does_not_have(
    make_outbox: Callable[..., Outbox], orthanc: Orthanc
) -> None:
    outbox = make_outbox(orthanc.remote, destination=COMMITMENT)
    with listener_of(outbox, free_port()) as ours:
        orthanc.know_modality("screen", ours)
        outbox.deliver()
        (gone,) = orthanc.post("/tools/lookup", outbox.uids[0].encode())
        orthanc._request("DELETE", f"/instances/{gone['ID']}", None)
        outbox.confirm()
        wait_for(lambda: outbox.states() == [FAILED, COMMITTED], "Orthanc's result came")
    assert "0x0112" in outbox.rows()[0].last_error


@needs_orthanc
def test_read_back_finds_what_orthanc_has(
    make_outbox: Callable[..., Outbox], orthanc: Orthanc
) -> None:
    outbox = make_outbox(orthanc.remote, destination={"read_back": True})
    orthanc.know_modality("screen", RemoteAE("FRACTURESCREEN", "127.0.0.1", 104))
    outbox.deliver()
    assert [row.state for row in outbox.confirm()] == [COMMITTED] * 2


@needs_orthanc
def test_read_back_asks_again_for_what_orthanc_lacks(
    make_outbox: Callable[..., Outbox], orthanc: Orthanc
) -> None:
    outbox = make_outbox(orthanc.remote, destination={"read_back": True})
    orthanc.know_modality("screen", RemoteAE("FRACTURESCREEN", "127.0.0.1", 104))
    outbox.deliver()
    (gone,) = orthanc.post("/tools/lookup", outbox.uids[0].encode())
    orthanc._request("DELETE", f"/instances/{gone['ID']}", None)
    rows = outbox.confirm()
    assert [row.state for row in rows] == [SENT, COMMITTED]
    assert rows[0].last_error == "not found by C-FIND"


def report(transaction: str = "2.25.1", **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize(
    ("event_type", "transaction", "status"),
    [(3, "2.25.1", 0x0113), (None, "2.25.1", 0x0113), (1, "", 0xC000), (1, "../x", 0xC000)],
)
def test_a_report_that_is_none_is_refused(
    event_type: int | None, transaction: str, status: int
) -> None:
    with pytest.raises(MalformedInstance) as caught:
        read_report(event_type, report(transaction))
    assert caught.value.status == status


def test_a_failed_reference_without_a_reason_is_taken_as_passing() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    assert read_report(2, report(FailedSOPSequence=[item])).failed == {"1.2.3": 0x0110}
