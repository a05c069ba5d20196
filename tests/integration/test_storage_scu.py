"""The sender against real destinations: DCMTK's storescp, Orthanc and our own listener."""

from pathlib import Path

import pytest
from pydicom import dcmread, uid
from pynetdicom import AE, evt

from dicom_node.errors import AssociationFailed
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import StoreResult, echo, send_instances
from tests.servers.dcmtk import needs_dcmtk, storescp
from tests.servers.orthanc import Orthanc, needs_orthanc, running_orthanc
from tests.servers.ports import free_port
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

pytest_plugins = ("tests.servers.orthanc",)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    return [write_instance(radiograph_dataset(n), tmp_path / f"{n}.dcm") for n in range(3)]


def _send(remote: RemoteAE, paths: list[Path], timeout_s: float = 10) -> list[StoreResult]:
    return send_instances(remote, paths, calling_ae_title="SCREEN", timeout_s=timeout_s)


@needs_dcmtk
def test_instances_reach_storescp_byte_for_byte(sources: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    with storescp(folder) as remote:
        results = _send(remote, sources)

    assert [result.path for result in results] == sources
    assert all(result.stored and not result.warning and not result.error for result in results)
    received = {path.read_bytes()[-1000:] for path in folder.iterdir()}
    assert received == {path.read_bytes()[-1000:] for path in sources}


@needs_dcmtk
def test_a_destination_that_takes_implicit_vr_only_gets_converted_instances(
    sources: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    with storescp(folder, "+xi") as remote:
        results = _send(remote, sources[:1])

    assert results[0].stored
    (received,) = folder.iterdir()
    read = dcmread(received)
    assert read.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian
    assert read.pixel_array.tobytes() == dcmread(sources[0]).pixel_array.tobytes()


@needs_orthanc
def test_instances_reach_orthanc(sources: list[Path], orthanc: Orthanc) -> None:
    echo(orthanc.remote, calling_ae_title="SCREEN")

    results = _send(orthanc.remote, sources)

    assert all(result.stored for result in results)
    assert orthanc.wait_for_instances(3) == {result.sop_instance_uid for result in results}


@needs_orthanc
def test_orthanc_forwards_to_our_listener(sources: list[Path], tmp_path: Path) -> None:
    received: list[ReceivedInstance] = []

    def sink(instance: ReceivedInstance) -> Receipt:
        received.append(instance)
        return Receipt.ACCEPTED

    folder = tmp_path / "orthanc"
    folder.mkdir()
    scp = StorageScp(
        ae_title="SCREEN", host="127.0.0.1", port=0, spool=Spool(tmp_path / "spool"), sink=sink
    )
    with scp, running_orthanc(folder) as orthanc:
        orthanc.know_modality("screen", RemoteAE("SCREEN", "127.0.0.1", scp.port))
        orthanc.store_to("screen", *[orthanc.upload(path) for path in sources])

    assert {instance.sop_instance_uid for instance in received} == {
        dcmread(path).SOPInstanceUID for path in sources
    }
    assert {instance.calling_ae_title for instance in received} == {"ORTHANC"}


@pytest.mark.parametrize(
    ("status", "stored", "warning", "words"),
    [
        (0x0000, True, False, ""),
        (0xB000, True, True, "0xB000 Warning"),
        (0xB006, True, True, "0xB006 Warning"),
        (0xB007, True, True, "0xB007 Warning"),
        (0xA700, False, False, "0xA700 Failure"),
        (0x0124, False, False, "Not Authorised"),
        (0xCAFE, False, False, "0xCAFE Failure"),
    ],
)
def test_each_answer_of_a_destination_is_told_apart(
    sources: list[Path], status: int, stored: bool, warning: bool, words: str
) -> None:
    ae = AE("PACS")
    ae.add_supported_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: status)]
    )
    try:
        remote = RemoteAE("PACS", "127.0.0.1", server.server_address[1])
        (result,) = _send(remote, sources[:1])
    finally:
        server.shutdown()

    assert (result.status, result.stored, result.warning) == (status, stored, warning)
    assert words in result.error
    assert bool(result.error) == bool(words)


def test_a_destination_that_is_not_there_fails_every_instance(sources: list[Path]) -> None:
    remote = RemoteAE("GONE", "127.0.0.1", free_port())

    results = _send(remote, sources, timeout_s=2)

    assert [result.status for result in results] == [None] * 3
    assert all("check that it runs" in result.error for result in results)
    with pytest.raises(AssociationFailed, match="check that it runs"):
        echo(remote, calling_ae_title="SCREEN", timeout_s=2)


def test_a_destination_that_does_not_know_us_is_named_in_the_error(sources: list[Path]) -> None:
    ae = AE("PACS")
    ae.require_calling_aet = ["SOMEBODY"]
    ae.add_supported_context(uid.ComputedRadiographyImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        remote = RemoteAE("PACS", "127.0.0.1", server.server_address[1])
        results = _send(remote, sources[:1])
    finally:
        server.shutdown()

    assert results[0].status is None
    assert "'SCREEN'" in results[0].error


def test_a_destination_without_the_sop_class_is_told_apart(sources: list[Path]) -> None:
    ae = AE("PACS")
    ae.add_supported_context(uid.CTImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        results = _send(RemoteAE("PACS", "127.0.0.1", server.server_address[1]), sources)
    finally:
        server.shutdown()

    assert all(result.status is None for result in results)
    assert "presentation contexts" in results[0].error


def test_one_refused_sop_class_does_not_keep_the_others_back(
    sources: list[Path], tmp_path: Path
) -> None:
    dataset = radiograph_dataset(9)
    dataset.SOPClassUID = uid.CTImageStorage
    other = write_instance(dataset, tmp_path / "ct.dcm")
    ae = AE("PACS")
    ae.add_supported_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)]
    )
    try:
        remote = RemoteAE("PACS", "127.0.0.1", server.server_address[1])
        results = _send(remote, [other, *sources])
    finally:
        server.shutdown()

    assert [result.stored for result in results] == [False, True, True, True]
    assert "CT Image Storage" in results[0].error


def test_an_association_aborted_in_the_middle_leaves_a_result_for_each(
    sources: list[Path],
) -> None:
    def abort(event: evt.Event) -> int:
        event.assoc.abort()
        return 0x0000

    ae = AE("PACS")
    ae.add_supported_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, abort)])
    try:
        remote = RemoteAE("PACS", "127.0.0.1", server.server_address[1])
        results = _send(remote, sources, timeout_s=1)
    finally:
        server.shutdown()

    assert [result.status for result in results] == [None] * 3
    assert all(result.error for result in results)


def test_a_file_that_is_no_dicom_does_not_keep_the_others_back(
    sources: list[Path], tmp_path: Path
) -> None:
    junk = tmp_path / "junk.dcm"
    junk.write_bytes(b"junk")
    scp = StorageScp(
        ae_title="SCREEN",
        host="127.0.0.1",
        port=0,
        spool=Spool(tmp_path / "spool"),
        sink=lambda instance: Receipt.ACCEPTED,
    )
    with scp:
        remote = RemoteAE("SCREEN", "localhost", scp.port)
        results = _send(remote, [junk, tmp_path / "gone.dcm", *sources])

    assert [result.stored for result in results] == [False, False, True, True, True]
    assert "file meta" in results[0].error
    assert "No such file" in results[1].error
