"""The listener against real peers: pynetdicom's and DCMTK's senders over the loopback."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydicom import Dataset, uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from structlog.testing import capture_logs

from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import echo, send_instances
from dicom_node.uids import IMPLEMENTATION_CLASS_UID
from tests.paths import SHARED_DATA, needs_shared_data
from tests.servers.dcmtk import needs_dcmtk, run_dcmsend, run_echoscu, run_storescu
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

# RG2_JPLY_fixed has the SOP Instance UID of RG2_JPLY.
RADIOGRAPHS = [
    path
    for path in sorted((SHARED_DATA / "dicom" / "wg04").glob("*.dcm"))
    if path.stem != "RG2_JPLY_fixed"
]


@dataclass
class Register:
    """A sink that keeps what it is given in memory, as the ledger would in a table."""

    instances: list[ReceivedInstance] = field(default_factory=list)
    error: Exception | None = None
    delay_s: float = 0.0

    def __call__(self, instance: ReceivedInstance) -> Receipt:
        time.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        for known in self.instances:
            if known.sop_instance_uid == instance.sop_instance_uid:
                same = known.sha256 == instance.sha256
                return Receipt.DUPLICATE if same else Receipt.CONFLICT
        self.instances.append(instance)
        return Receipt.ACCEPTED


@dataclass
class Node:
    scp: StorageScp
    spool: Spool
    register: Register
    remote: RemoteAE

    def files(self) -> list[Path]:
        return [path for path in self.spool.root.rglob("*") if path.is_file()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    spool, register = Spool(tmp_path / "spool"), Register()
    scp = StorageScp(ae_title="SCREEN", host="127.0.0.1", port=0, spool=spool, sink=register)
    with scp:
        yield Node(scp, spool, register, RemoteAE("SCREEN", "127.0.0.1", scp.port))


@contextmanager
def association(node: Node) -> Iterator[Association]:
    ae = AE("MODALITY")
    ae.add_requested_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    established = ae.associate(node.remote.host, node.remote.port, ae_title="SCREEN")
    assert established.is_established
    try:
        yield established
    finally:
        if established.is_established:
            established.release()


def c_store(node: Node, path: Path) -> Dataset:
    """Send the file's bytes as they are, however broken; returns the response."""
    with association(node) as established:
        return established.send_c_store(path)


def _data_set_bytes(path: Path) -> bytes:
    return path.read_bytes()[split_dataset(path)[1] :]


def test_an_echo_is_answered(node: Node) -> None:
    echo(node.remote, calling_ae_title="MODALITY")


@needs_dcmtk
def test_an_echo_from_dcmtk_is_answered(node: Node) -> None:
    assert run_echoscu(node.remote).returncode == 0


def test_a_stored_instance_is_registered_as_it_lies_in_the_spool(
    node: Node, tmp_path: Path
) -> None:
    source = write_instance(radiograph_dataset(), tmp_path / "a.dcm")

    assert c_store(node, source).Status == 0x0000

    (received,) = node.register.instances
    assert received.calling_ae_title == "MODALITY"
    assert received.association_id
    assert replace(received, association_id="") == describe_file(received.path, "MODALITY")
    assert received.path.stat().st_mode & 0o777 == 0o600
    assert received.path.read_bytes()[:128] == bytes(128)
    assert _data_set_bytes(received.path) == _data_set_bytes(source)
    meta, _ = split_dataset(received.path)
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID


@needs_shared_data
def test_every_encoding_is_stored_byte_for_byte(node: Node) -> None:
    results = send_instances(node.remote, RADIOGRAPHS, calling_ae_title="MODALITY")

    assert all(result.stored for result in results)
    received = {_data_set_bytes(each.path) for each in node.register.instances}
    assert received == {_data_set_bytes(path) for path in RADIOGRAPHS}


@needs_dcmtk
@needs_shared_data
def test_every_encoding_is_taken_from_dcmsend(node: Node) -> None:
    sent = run_dcmsend(node.remote, RADIOGRAPHS)

    assert sent.returncode == 0, sent.stderr
    assert {
        (each.sop_instance_uid, each.transfer_syntax_uid) for each in node.register.instances
    } == {
        (described.sop_instance_uid, described.transfer_syntax_uid)
        for described in (describe_file(path, "") for path in RADIOGRAPHS)
    }


@needs_dcmtk
@pytest.mark.parametrize("option", ["-xi", "-xe", "-xr", "-xs", "-xv"])
def test_storescu_stores_in_the_transfer_syntax_it_proposes(
    node: Node, tmp_path: Path, option: str
) -> None:
    source = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    sent = run_storescu(node.remote, [source], option)

    assert sent.returncode == 0, sent.stderr
    assert len(node.register.instances) == 1


@pytest.mark.parametrize("cut", [1, 2, 100, 700])
def test_a_truncated_instance_is_refused_and_leaves_nothing_behind(
    node: Node, tmp_path: Path, cut: int
) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-cut])

    response = c_store(node, path)

    assert response.Status == 0xC000
    assert "truncated" in response.ErrorComment
    assert node.files() == []
    assert node.register.instances == []


def test_trailing_bytes_are_refused(node: Node, tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes() + b"tail")

    assert c_store(node, path).Status == 0xC000
    assert node.files() == []


@pytest.mark.parametrize("bad_uid", ["../../x", "/etc/passwd", "1.2.3/../4", "1..2"])
def test_a_uid_that_is_none_is_refused_and_writes_nothing_anywhere(
    node: Node, tmp_path: Path, bad_uid: str
) -> None:
    dataset = radiograph_dataset()
    path = write_instance(dataset, tmp_path / "a.dcm")
    before = sorted(tmp_path.rglob("*"))
    path.write_bytes(path.read_bytes().replace(*_padded(dataset.SOPInstanceUID, bad_uid)))

    assert c_store(node, path).Status == 0xC000
    assert sorted(tmp_path.rglob("*")) == before


def _padded(old: str, new: str) -> tuple[bytes, bytes]:
    return old.encode(), new.encode().ljust(len(old), b"\0")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SOPClassUID"])
def test_a_data_set_that_differs_from_its_request_is_a_mismatch(
    node: Node, tmp_path: Path, keyword: str
) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    whole = path.read_bytes()
    head, data_set = whole[: split_dataset(path)[1]], _data_set_bytes(path)
    value = getattr(radiograph_dataset(), keyword).encode()
    path.write_bytes(head + data_set.replace(value, value[:-1] + b"9"))

    assert c_store(node, path).Status == 0xA900
    assert node.files() == []


def test_a_duplicate_is_accepted_and_kept_once_whoever_sends_it(node: Node, tmp_path: Path) -> None:
    source = write_instance(radiograph_dataset(), tmp_path / "a.dcm")

    assert c_store(node, source).Status == 0x0000
    (again,) = send_instances(node.remote, [source], calling_ae_title="OTHER")

    assert again.status == 0x0000
    assert node.files() == [node.register.instances[0].path]


def test_other_bytes_under_a_known_uid_are_quarantined_with_an_alarm(
    node: Node, tmp_path: Path
) -> None:
    dataset = radiograph_dataset()
    c_store(node, write_instance(dataset, tmp_path / "a.dcm"))
    dataset.PatientName = "Somebody^Else"

    with capture_logs() as logs:
        response = c_store(node, write_instance(dataset, tmp_path / "b.dcm"))

    assert response.Status == 0x0111
    (quarantined,) = (node.spool.root / "quarantine").iterdir()
    assert b"Somebody^Else" in quarantined.read_bytes()
    assert list(node.spool.files()) == [node.register.instances[0].path]
    (alarm,) = [entry for entry in logs if entry["event"] == "instance_conflict"]
    assert alarm["log_level"] == "critical"
    assert "Somebody" not in str(logs)


def test_a_failing_sink_means_out_of_resources_and_leaves_the_file_to_the_reconciler(
    node: Node, tmp_path: Path
) -> None:
    node.register.error = ConnectionError("database down")

    response = c_store(node, write_instance(radiograph_dataset(), tmp_path / "a.dcm"))

    assert response.Status == 0xA700
    assert len(list(node.spool.files())) == 1


def test_a_failing_disk_means_out_of_resources(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_instance(radiograph_dataset(), tmp_path / "a.dcm")

    def failing_fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", failing_fsync)

    assert c_store(node, source).Status == 0xA700
    assert node.files() == []
    assert node.register.instances == []


def test_the_association_survives_a_refused_instance(node: Node, tmp_path: Path) -> None:
    good = write_instance(radiograph_dataset(1), tmp_path / "good.dcm")
    bad = write_instance(radiograph_dataset(2), tmp_path / "bad.dcm")
    bad.write_bytes(bad.read_bytes()[:-50])

    with association(node) as established:
        statuses = [established.send_c_store(path).Status for path in (bad, good)]

    assert statuses == [0xC000, 0x0000]


def test_parallel_senders_are_all_served(node: Node, tmp_path: Path) -> None:
    paths = [write_instance(radiograph_dataset(n), tmp_path / f"{n}.dcm") for n in range(24)]
    senders = [
        threading.Thread(
            target=send_instances,
            args=(node.remote, paths[start::6]),
            kwargs={"calling_ae_title": f"SENDER{start}"},
        )
        for start in range(6)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert len(node.register.instances) == 24
    assert len(list(node.spool.files())) == 24


def test_stopping_lets_an_open_association_finish(node: Node, tmp_path: Path) -> None:
    paths = [write_instance(radiograph_dataset(n), tmp_path / f"{n}.dcm") for n in range(5)]
    node.register.delay_s = 0.1
    results: list[bool] = []

    def send() -> None:
        sent = send_instances(node.remote, paths, calling_ae_title="MODALITY")
        results.extend(result.stored for result in sent)

    sender = threading.Thread(target=send)
    sender.start()
    while not node.register.instances:
        time.sleep(0.01)
    node.scp.stop(grace_s=20)
    sender.join()

    assert results == [True] * 5
    (refused,) = send_instances(node.remote, paths[:1], calling_ae_title="MODALITY", timeout_s=2)
    assert refused.status is None


def test_stopping_aborts_an_association_that_outstays_its_grace(node: Node) -> None:
    with association(node) as idle:
        assert node.scp.active_associations == 1

        began = time.monotonic()
        node.scp.stop(grace_s=0.3)

        assert time.monotonic() - began < 5
        deadline = time.monotonic() + 5
        while idle.is_established and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not idle.is_established


def test_a_stopped_listener_can_start_again(node: Node) -> None:
    node.scp.stop(grace_s=1)
    node.scp.start()

    echo(RemoteAE("SCREEN", "127.0.0.1", node.scp.port), calling_ae_title="MODALITY")
