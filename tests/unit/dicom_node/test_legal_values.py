"""What is copied from a dirty header into our objects is legal there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_node.header import read_header
from dicom_node.patient_study import copy_patient_and_study
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from tests.unit.dicom_node.test_results import _capture, _report, _written
from tests.validators import dciodvfy_errors, needs_dciodvfy

Dirt = Callable[[Dataset], None]


def raw(dataset: Dataset, keyword: str, value: object) -> None:
    """Set a value without pydicom's checks."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    if dictionary_VR(tag) == "DS":  # pydicom would make it a number at once
        stored = str(value).encode()
        dataset[tag] = RawDataElement(Tag(tag), "DS", len(stored), stored, 0, False, True)
    else:
        dataset.add_new(tag, dictionary_VR(tag), value)


def code(**values: str) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


DIRTY: dict[str, Dirt] = {
    "empty sequence": lambda header: raw(header, "ReferencedStudySequence", []),
    "item without UIDs": lambda header: raw(header, "ReferencedStudySequence", [Dataset()]),
    "code without meaning": lambda header: raw(
        header, "ProcedureCodeSequence", [code(CodeValue="1", CodingSchemeDesignator="99X")]
    ),
    "body part outside its VR": lambda header: raw(header, "BodyPartExamined", "B?CKEN"),
    "lower-case sex": lambda header: raw(header, "PatientSex", "f"),
    "removed without a method": lambda header: raw(header, "PatientIdentityRemoved", "YES"),
    "age in words": lambda header: raw(header, "PatientAge", "about 40"),
    "size with a comma": lambda header: raw(header, "PatientSize", "1,80"),
    "date of ACR-NEMA": lambda header: raw(header, "PatientBirthDate", "1980.02.03"),
    "no date": lambda header: raw(header, "StudyDate", "20261301"),
    "time with colons": lambda header: raw(header, "StudyTime", "12:30:00"),
    "long description": lambda header: raw(header, "StudyDescription", "x" * 80),
    "role without a person": lambda header: raw(header, "ResponsiblePersonRole", "PARENT"),
    "kind of ID": lambda header: raw(header, "TypeOfPatientID", "MRN"),
    "orientation in words": lambda header: raw(header, "PatientOrientation", ["LEFT", "FOOT"]),
    "lossy ratio in words": lambda header: (
        raw(header, "LossyImageCompression", "01"),
        raw(header, "LossyImageCompressionRatio", "high"),
    )[0],
}


@needs_dciodvfy
@pytest.mark.parametrize("name", DIRTY)
def test_our_objects_of_a_dirty_source_have_no_errors(name: str, tmp_path: Path) -> None:
    header = radiograph_dataset()
    DIRTY[name](header)
    reference = read_header(write_instance(header, tmp_path / "source.dcm"))

    for result in (_capture(reference), _report(reference)):
        assert dciodvfy_errors(_written(result, tmp_path / "result.dcm")) == []


def test_what_is_legal_is_kept_and_a_date_is_written_in_its_present_form() -> None:
    header = radiograph_dataset()
    header.PatientSex, header.PatientAge, header.StudyDescription = "F", "040Y", "Hand"
    raw(header, "PatientBirthDate", "1980.02.03")
    raw(header, "PatientIdentityRemoved", "YES")
    header.DeidentificationMethod = "by hand"
    header.ProcedureCodeSequence = [
        code(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="Hand")
    ]

    copied = copy_patient_and_study(header)

    assert (copied.PatientSex, copied.PatientAge, copied.StudyDescription) == ("F", "040Y", "Hand")
    assert copied.PatientBirthDate == "19800203"
    assert copied.PatientIdentityRemoved == "YES"
    assert copied.ProcedureCodeSequence[0].CodeMeaning == "Hand"


def test_who_it_is_stays_letter_by_letter() -> None:
    header = radiograph_dataset()
    raw(header, "PatientID", "x" * 80)
    raw(header, "AccessionNumber", "12345678901234567890")

    copied = copy_patient_and_study(header)

    assert copied.PatientID == "x" * 80
    assert copied.AccessionNumber == "12345678901234567890"
