"""Transfer syntaxes between us and destinations that take only some of them."""

import hashlib
from pathlib import Path

import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

from dicom_node.retry_classes import TransportProblem
from dicom_node.storage_scu import StoreResult, send_instances
from tests.servers.dcmtk import needs_dcmtk, storescp
from tests.servers.scripted_pacs import ScriptedPacs
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

EXPLICIT, IMPLICIT = uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian


def compressed(path: Path, syntax: uid.UID = uid.RLELossless) -> Path:
    dataset = radiograph_dataset(1)
    write_instance(dataset, path)
    dataset = dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def send(pacs: ScriptedPacs, path: Path) -> StoreResult:
    (result,) = send_instances(pacs.remote, [path], calling_ae_title="SCREEN", timeout_s=10)
    return result


@pytest.mark.parametrize(
    ("accepted", "sent_as"),
    [
        ([uid.RLELossless, EXPLICIT, IMPLICIT], uid.RLELossless),
        ([EXPLICIT, IMPLICIT], EXPLICIT),
        ([EXPLICIT], EXPLICIT),
        ([IMPLICIT], IMPLICIT),
    ],
)
def test_a_compressed_file_is_decompressed_only_where_it_must(
    tmp_path: Path, accepted: list[str], sent_as: str
) -> None:
    path = compressed(tmp_path / "rle.dcm")
    uid_before = dcmread(path).SOPInstanceUID
    with ScriptedPacs(transfer_syntaxes=accepted) as pacs:
        assert send(pacs, path).stored
    (reception,) = pacs.receptions
    assert reception.transfer_syntax_uid == sent_as
    assert reception.sop_instance_uid == uid_before


@needs_dcmtk
def test_what_was_decompressed_on_the_way_has_the_same_pixels(tmp_path: Path) -> None:
    path, folder = compressed(tmp_path / "rle.dcm"), tmp_path / "received"
    folder.mkdir()
    with storescp(folder, "+xe") as remote:
        (result,) = send_instances(remote, [path], calling_ae_title="SCREEN")
    assert result.stored
    (received,) = folder.iterdir()
    got: Dataset = dcmread(received)
    assert not got.file_meta.TransferSyntaxUID.is_compressed
    assert got.pixel_array.tobytes() == dcmread(path).pixel_array.tobytes()


def test_an_uncompressed_file_goes_out_byte_for_byte(tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(1), tmp_path / "a.dcm")
    with ScriptedPacs() as pacs:
        assert send(pacs, path).stored
    (reception,) = pacs.receptions
    data = path.read_bytes()
    assert any(
        hashlib.sha256(data[start:]).hexdigest() == reception.digest for start in range(132, 600)
    )


def test_a_destination_that_takes_neither_is_a_permanent_problem(tmp_path: Path) -> None:
    path = compressed(tmp_path / "rle.dcm")
    with ScriptedPacs(transfer_syntaxes=[uid.JPEG2000Lossless]) as pacs:
        result = send(pacs, path)
    assert result.problem in (TransportProblem.NOT_NEGOTIATED, TransportProblem.NO_CONTEXT)
    assert not result.stored


def test_a_file_that_cannot_be_decompressed_is_our_problem_and_not_the_destination_s(
    tmp_path: Path,
) -> None:
    path = compressed(tmp_path / "broken.dcm")
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[:20] + b"\0" * 8
    dataset.save_as(path)
    with ScriptedPacs() as pacs:
        result = send(pacs, path)
    assert result.problem is TransportProblem.UNREADABLE_FILE
    assert not result.unreachable
