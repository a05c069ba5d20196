from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid

from dicom_node.encapsulated_pdf import build_encapsulated_pdf
from dicom_node.errors import SpoolError
from dicom_node.image_file import wrap_as_dx
from dicom_node.radiograph import read_header
from dicom_node.result_file import is_own_result, write_result
from dicom_node.secondary_capture import build_secondary_capture
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, picture_uids
from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.dicom_node.instances import (
    NOW,
    radiograph_dataset,
    result_identity,
    write_instance,
)
from tests.validators import (
    dcentvfy_complaints,
    dciodvfy_errors,
    needs_dciodvfy,
)

PDF = b"%PDF-1.4\n% phantom report\n%%EOF\n"
DICOM = SHARED_DATA / "dicom"


def _capture(reference: Dataset, *, now: datetime = NOW, frame: int | None = None) -> Dataset:
    rgb = np.arange(33 * 27 * 3, dtype=np.uint8).reshape(33, 27, 3)
    return build_secondary_capture(
        reference,
        rgb,
        identity=result_identity("overlay"),
        derivation_description="AI overlay",
        now=now,
        source_frame_number=frame,
    )


def _report(reference: Dataset) -> Dataset:
    return build_encapsulated_pdf(
        reference,
        PDF,
        sources=[(str(reference.SOPClassUID), str(reference.SOPInstanceUID))],
        title="AI fracture screening",
        identity=result_identity("report"),
        now=NOW,
    )


def _written(dataset: Dataset, path: Path) -> Path:
    write_result(dataset, path)
    return path


def _wrapped_picture(path: Path) -> Path:
    study, series, instance = picture_uids("aa")
    dataset = wrap_as_dx(
        np.arange(99, dtype=np.uint8).reshape(9, 11),
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
        patient_id="PHANTOM",
        patient_name="Ωμέγα^Άλφα",
        now=NOW,
        body_part_examined="HAND",
        synthetic_note="",
    )
    return _written(dataset, path)


def _require_valid(source: Path, folder: Path) -> None:
    reference = read_header(source)
    capture = _written(_capture(reference), folder / "capture.dcm")
    report = _written(_report(reference), folder / "report.dcm")

    assert dciodvfy_errors(capture) == []
    assert dciodvfy_errors(report) == []
    if "StudyID" in reference:
        assert dcentvfy_complaints(source, capture, report) == []


@needs_dciodvfy
@needs_shared_data
@pytest.mark.parametrize(
    "source",
    [
        "wg04/RG3_UNC.dcm",
        "wg04/RG2_J2KR.dcm",
        "oddities/chrJapMulti.dcm",
        "oddities/chrKoreanMulti.dcm",
    ],
)
def test_results_of_real_radiographs_are_valid_and_fit_their_study(
    source: str, tmp_path: Path
) -> None:
    _require_valid(DICOM / source, tmp_path)


@needs_dciodvfy
def test_results_of_a_wrapped_picture_are_valid_and_fit_their_study(tmp_path: Path) -> None:
    _require_valid(_wrapped_picture(tmp_path / "picture.dcm"), tmp_path)


@needs_dciodvfy
@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "王^小東=王^小东"),
        ("ISO_IR 126", "Ωμέγα^Άλφα"),
        ("ISO_IR 127", "قباني^لنزار"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
@pytest.mark.parametrize(
    "transfer_syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian]
)
@pytest.mark.parametrize("name_was_read", [False, True])
def test_names_in_any_character_set_survive(
    tmp_path: Path,
    character_set: str | list[str],
    name: str,
    transfer_syntax: str,
    name_was_read: bool,
) -> None:
    dataset = radiograph_dataset()
    dataset.SpecificCharacterSet, dataset.PatientName = character_set, name
    dataset.IssuerOfPatientID = "HOSPITAL"
    source = write_instance(dataset, tmp_path / "source.dcm", transfer_syntax)
    reference = read_header(source)
    if name_was_read:
        assert str(reference.PatientName) == name

    for number, result in enumerate((_capture(reference), _report(reference))):
        path = _written(result, tmp_path / f"{number}.dcm")
        read = dcmread(path)
        assert str(read.PatientName) == name
        assert read.IssuerOfPatientID == "HOSPITAL"
        assert read.SpecificCharacterSet == dataset.SpecificCharacterSet
        assert dciodvfy_errors(path) == []
        assert dcentvfy_complaints(source, path) == []


@needs_dciodvfy
@pytest.mark.parametrize("laterality", ["R", "L", "B", "U", "", None])
@pytest.mark.parametrize("body_part", ["HAND", "CHEST", ""])
def test_a_capture_is_valid_whatever_side_is_stated(
    tmp_path: Path, laterality: str | None, body_part: str
) -> None:
    dataset = radiograph_dataset()
    dataset.BodyPartExamined = body_part
    del dataset.Laterality
    if laterality is not None:
        dataset.ImageLaterality = laterality

    assert dciodvfy_errors(_written(_capture(dataset), tmp_path / "a.dcm")) == []


def test_a_capture_refers_to_its_source_frame() -> None:
    reference = radiograph_dataset()

    (source,) = _capture(reference, frame=3).SourceImageSequence

    assert source.ReferencedSOPInstanceUID == reference.SOPInstanceUID
    assert source.ReferencedFrameNumber == 3
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_the_pixels_of_a_capture_are_those_given(tmp_path: Path) -> None:
    path = _written(_capture(radiograph_dataset()), tmp_path / "a.dcm")

    assert dcmread(path).pixel_array.tobytes() == bytes(np.arange(33 * 27 * 3, dtype=np.uint8))


def test_the_document_of_a_report_is_the_one_given(tmp_path: Path) -> None:
    read = dcmread(_written(_report(radiograph_dataset()), tmp_path / "a.dcm"))

    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == PDF


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    reference = radiograph_dataset()
    for build in (_capture, _report):
        first = _written(build(reference), tmp_path / "a.dcm").read_bytes()
        again = _written(build(reference), tmp_path / "b.dcm").read_bytes()
        assert first == again


def test_dates_are_written_in_the_time_zone_of_the_study() -> None:
    reference = radiograph_dataset()
    reference.TimezoneOffsetFromUTC = "-0600"

    capture = _capture(reference)

    assert capture.TimezoneOffsetFromUTC == "-0600"
    assert (capture.ContentDate, capture.ContentTime) == ("20260303", "230607")


def test_a_result_of_a_lossy_image_stays_declared_lossy() -> None:
    reference = radiograph_dataset()
    reference.LossyImageCompression = "01"
    reference.LossyImageCompressionRatio = 12

    assert _capture(reference).LossyImageCompression == "01"
    assert _capture(reference).LossyImageCompressionRatio == 12


def test_private_attributes_of_copied_sequences_are_left_out() -> None:
    reference = radiograph_dataset()
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "Hand"
    item.add_new((0x0011, 0x0010), "LO", "PRIVATE CREATOR")
    reference.ProcedureCodeSequence = [item]

    (copied,) = _capture(reference).ProcedureCodeSequence

    assert not any(element.tag.is_private for element in copied)
    assert len(copied) == 3
    assert len(item) == 4


def test_our_results_are_known_as_ours_and_others_are_not() -> None:
    reference = radiograph_dataset()

    assert is_own_result(_capture(reference))
    assert is_own_result(_report(reference))
    assert not is_own_result(reference)


def test_a_result_whose_manufacturer_was_coerced_is_still_ours() -> None:
    capture = _capture(radiograph_dataset())
    capture.Manufacturer = "PACS VENDOR"

    assert is_own_result(capture)


def test_a_written_result_is_private_and_carries_our_implementation(tmp_path: Path) -> None:
    path = _written(_capture(radiograph_dataset()), tmp_path / "results" / "a.dcm")

    assert path.stat().st_mode & 0o777 == 0o600
    assert dcmread(path).file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert list(path.parent.iterdir()) == [path]


def test_a_result_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").mkdir()

    with pytest.raises(SpoolError, match=r"a\.dcm"):
        write_result(_capture(radiograph_dataset()), tmp_path / "a.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize("rgb", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_a_capture_needs_rgb_bytes(rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        build_secondary_capture(
            radiograph_dataset(),
            rgb,
            identity=result_identity(),
            derivation_description="",
            now=NOW,
        )


def test_a_report_needs_a_pdf() -> None:
    with pytest.raises(ValueError, match="no PDF"):
        build_encapsulated_pdf(
            radiograph_dataset(), b"x", sources=[], title="", identity=result_identity(), now=NOW
        )


def test_a_frozen_object_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    write_result(_capture(radiograph_dataset(1)), path, frozen=True)
    before = path.read_bytes()

    write_result(_capture(radiograph_dataset(2)), path, frozen=True)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
