"""Storage commitment provided: true per instance, on either association, through a restart."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydicom import Dataset, uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from sqlalchemy import Engine

from dicom_node.access import AccessList, Peer, Role
from dicom_node.commitment import CLASS_CONFLICT, NO_SUCH_INSTANCE
from dicom_node.commitment_scu import CommitmentReport
from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.spool import Spool
from tests.integration.commitments import Provider, Requestor, ask, store, until
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

CR = str(uid.ComputedRadiographyImageStorage)
DX = str(uid.DigitalXRayImageStorageForPresentation)
STORED = str(radiograph_dataset().SOPInstanceUID)


@pytest.fixture
def provider(tmp_path: Path, ledger_engine: Engine) -> Provider:
    return Provider(tmp_path / "data", ledger_engine)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    return write_instance(radiograph_dataset(), tmp_path / "a.dcm")


def test_a_stored_instance_is_committed_on_an_association_of_our_own(
    provider: Provider, instance: Path
) -> None:
    requestor = Requestor()
    with requestor.listening() as provider.address, provider.running() as node:
        store(node, instance)
        ask(node, (CR, STORED))
        kind, information = requestor.wait()
        until(lambda: provider.waiting == [])

    assert kind == 1
    assert information.TransactionUID == "1.2.3.99"
    assert [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence] == [STORED]
    assert "FailedSOPSequence" not in information
    assert requestor.roles == [(False, True)]


def test_a_report_comes_on_the_association_of_the_request_where_we_know_no_address(
    provider: Provider, instance: Path
) -> None:
    reports: list[CommitmentReport] = []

    def keep(report: CommitmentReport) -> bool:
        reports.append(report)
        return True

    with provider.running() as node:
        store(node, instance)
        assert ask(node, (CR, STORED), on_report=keep, wait_s=10)
        until(lambda: provider.waiting == [])

    assert [report.kept for report in reports] == [(STORED,)]


def test_what_we_do_not_keep_fails_each_for_its_reason(provider: Provider, instance: Path) -> None:
    requestor = Requestor()
    with requestor.listening() as provider.address, provider.running() as node:
        store(node, instance)
        ask(node, (CR, STORED), (CR, "1.2.3.4"), (DX, STORED))
        kind, information = requestor.wait()

    assert kind == 2
    reasons = {
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID): item.FailureReason
        for item in information.FailedSOPSequence
    }
    assert reasons == {(CR, "1.2.3.4"): NO_SUCH_INSTANCE, (DX, STORED): CLASS_CONFLICT}
    assert len(information.ReferencedSOPSequence) == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_row_whose_file_is_gone_or_short_is_not_committed(
    provider: Provider, instance: Path, damage: Callable[[Path], object]
) -> None:
    requestor = Requestor()
    with requestor.listening() as provider.address, provider.running() as node:
        store(node, instance)
        (spooled,) = Spool(provider.folder / "spool").files()
        damage(spooled)
        ask(node, (CR, STORED))
        kind, information = requestor.wait()

    assert kind == 2
    assert information.FailedSOPSequence[0].FailureReason == NO_SUCH_INSTANCE


def test_a_request_survives_a_restart_before_its_report(provider: Provider, instance: Path) -> None:
    requestor = Requestor()
    with requestor.listening() as provider.address:
        with provider.running(reporting=False) as node:
            store(node, instance)
            ask(node, (CR, STORED))
        assert requestor.reports == []
        assert len(provider.waiting) == 1

        with provider.running():
            kind, _ = requestor.wait()
            until(lambda: provider.waiting == [])

    assert kind == 1


def test_a_report_that_is_not_taken_stays_for_another_try(
    provider: Provider, instance: Path
) -> None:
    requestor = Requestor(status=0x0110)
    with requestor.listening() as provider.address, provider.running() as node:
        store(node, instance)
        ask(node, (CR, STORED))
        requestor.wait()
    assert len(provider.waiting) == 1

    requestor.status = 0x0000
    with requestor.listening() as provider.address, provider.running():
        requestor.wait(2)
        until(lambda: provider.waiting == [])


def test_two_processes_that_share_the_folder_report_once(
    provider: Provider, instance: Path
) -> None:
    requestor = Requestor()
    with requestor.listening() as provider.address:
        with provider.running(reporting=False) as node:
            store(node, instance)
            ask(node, (CR, STORED))
        with provider.running(), provider.running():
            requestor.wait()
            until(lambda: provider.waiting == [])
            time.sleep(0.3)

    assert len(requestor.reports) == 1


def test_who_may_not_store_may_not_ask(provider: Provider) -> None:
    peer = Peer(
        "asker", "MODALITY", (ip_network("127.0.0.1/32"),), frozenset({Role.QUERY, Role.RECEIVE})
    )
    provider.access = AccessList("SCREEN", (peer,))
    with provider.running() as node, pytest.raises(AssociationFailed, match="0124"):
        ask(node, (CR, STORED))
    assert provider.waiting == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"TransactionUID": "../x"}, 0x0115),
        ({"TransactionUID": ""}, 0x0115),
        ({"ReferencedSOPSequence": []}, 0x0115),
    ],
)
def test_a_request_that_is_none_is_refused(
    provider: Provider, change: dict[str, object], status: int
) -> None:
    item, information = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CR, STORED
    information.TransactionUID, information.ReferencedSOPSequence = "1.2.3", [item]
    for keyword, value in change.items():
        setattr(information, keyword, value)

    with provider.running() as node, _association(node) as association:
        answer, _ = association.send_n_action(
            information, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        assert answer.Status == status


def test_requests_that_pile_up_are_refused_for_now(
    provider: Provider, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.commitment._MAXIMUM_WAITING", 1)
    monkeypatch.setattr("dicom_node.commitment._ANSWER_FIRST_S", 60)
    item, information = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CR, STORED
    information.ReferencedSOPSequence = [item]
    statuses = []

    with provider.running() as node, _association(node) as association:
        for number in (1, 2):
            information.TransactionUID = f"1.2.{number}"
            answer, _ = association.send_n_action(
                information, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            statuses.append(answer.Status)

    assert statuses == [0x0000, 0x0213]


@contextmanager
def _association(node: RemoteAE) -> Iterator[Association]:
    ae = AE("MODALITY")
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate(node.host, node.port, ae_title=node.ae_title)
    assert association.is_established
    yield association
    association.release()
