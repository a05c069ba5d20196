import hashlib
from pathlib import Path

import pytest
from pydicom import uid

from dicom_node.errors import UnreadableInstance
from dicom_node.received import describe_file
from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.dicom_node.instances import encoded, radiograph_dataset, write_instance

ODDITIES = SHARED_DATA / "dicom" / "oddities"


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_a_file_is_described_by_its_uids_and_digest(tmp_path: Path, syntax: str) -> None:
    dataset = radiograph_dataset()
    path = write_instance(dataset, tmp_path / "a.dcm", syntax)

    described = describe_file(path, "MODALITY")

    assert described.study_instance_uid == dataset.StudyInstanceUID
    assert described.series_instance_uid == dataset.SeriesInstanceUID
    assert described.sop_instance_uid == dataset.SOPInstanceUID
    assert described.sop_class_uid == dataset.SOPClassUID
    assert described.transfer_syntax_uid == syntax
    assert described.calling_ae_title == "MODALITY"
    assert described.path == path
    assert described.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert described.size == path.stat().st_size


@pytest.mark.parametrize("implicit_vr", [True, False])
def test_a_file_without_preamble_and_meta_is_described_too(
    tmp_path: Path, implicit_vr: bool
) -> None:
    dataset = radiograph_dataset()
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(dataset, implicit_vr=implicit_vr))

    described = describe_file(path, "")

    assert described.sop_instance_uid == dataset.SOPInstanceUID
    expected = uid.ImplicitVRLittleEndian if implicit_vr else uid.ExplicitVRLittleEndian
    assert described.transfer_syntax_uid == expected


def test_a_truncated_file_is_unreadable(tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(UnreadableInstance, match="truncated"):
        describe_file(path, "")


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
def test_a_file_without_an_identifying_uid_is_unreadable(tmp_path: Path, keyword: str) -> None:
    dataset = radiograph_dataset()
    path = write_instance(dataset, tmp_path / "a.dcm")
    del dataset[keyword]
    path.write_bytes(encoded(dataset))

    with pytest.raises(UnreadableInstance, match=keyword):
        describe_file(path, "")


@needs_shared_data
@pytest.mark.parametrize(
    "path", sorted(ODDITIES.glob("*")) if ODDITIES.is_dir() else [], ids=lambda path: path.name
)
def test_an_oddity_is_described_or_unreadable(path: Path) -> None:
    try:
        outcome = describe_file(path, "").sop_instance_uid
    except UnreadableInstance as refusal:
        outcome = str(refusal)

    assert outcome
