from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.data_set_scan import scan_data_set
from dicom_node.header import read_header
from dicom_node.study_elements import LONGEST_VALUE, decode_elements, elements_of, encode_elements
from tests.unit.dicom_node.instances import encoded, radiograph_dataset, write_instance

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def japanese() -> Dataset:
    dataset = radiograph_dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = NAME
    dataset.PatientID = "ID-1"
    dataset.AccessionNumber = "ACC1"
    dataset.BodyPartExamined = "HAND"
    return dataset


@pytest.mark.parametrize("implicit_vr", [False, True])
def test_the_scan_keeps_who_it_is_in_any_encoding(implicit_vr: bool) -> None:
    found, _ = scan_data_set(
        memoryview(encoded(japanese(), implicit_vr=implicit_vr)), implicit_vr=implicit_vr
    )
    kept = decode_elements(found.patient_and_study)
    assert str(kept.PatientName) == NAME
    assert (kept.PatientID, kept.AccessionNumber, kept.BodyPartExamined) == ("ID-1", "ACC1", "HAND")
    assert kept.StudyInstanceUID == japanese().StudyInstanceUID
    assert "PixelData" not in kept
    assert "Modality" not in kept


def test_a_parsed_header_keeps_the_same_bytes_as_the_scan(tmp_path: Path) -> None:
    found, _ = scan_data_set(memoryview(encoded(japanese())), implicit_vr=False)
    header = read_header(write_instance(japanese(), tmp_path / "a.dcm"))
    assert elements_of(header) == found.patient_and_study


def test_a_value_of_any_length_takes_no_more_memory_than_a_kibibyte() -> None:
    dataset = japanese()
    dataset.StudyDescription = "x" * (LONGEST_VALUE + 2)
    found, _ = scan_data_set(memoryview(encoded(dataset)), implicit_vr=False)
    assert len(found.patient_and_study) < LONGEST_VALUE
    assert "StudyDescription" not in decode_elements(found.patient_and_study)


def test_patient_data_shows_in_no_repr() -> None:
    found, _ = scan_data_set(memoryview(encoded(japanese())), implicit_vr=False)
    assert "ID-1" not in repr(found)


def test_other_elements_are_left_out() -> None:
    assert encode_elements({0x00104000: b"a comment "}) == b""
