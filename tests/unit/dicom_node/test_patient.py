"""One cleaning for all identifiers, and one way to read a date."""

from datetime import date

import pytest
from pydicom import Dataset

from dicom_node.patient import date_of, patient_facts, text_of


def test_several_values_of_an_identifier_stay_as_they_were_sent() -> None:
    header = Dataset()
    header.AccessionNumber = ["12345", "12346"]
    header.PatientID = ["12345", "12346"]
    assert text_of(header, "AccessionNumber") == "12345\\12346"
    assert patient_facts(header).patient_id == "12345\\12346"


@pytest.mark.parametrize("stated", ["1980.02.03", "19800203", " 1980.02.03 "])
def test_a_birth_date_is_read_in_both_forms(stated: str) -> None:
    header = Dataset()
    header.PatientBirthDate = stated
    assert patient_facts(header).birth_date == date(1980, 2, 3)


@pytest.mark.parametrize("stated", ["", "1980", "19801399", "1980-02-03"])
def test_what_is_no_date_is_none(stated: str) -> None:
    header = Dataset()
    header.StudyDate = stated
    assert date_of(header, "StudyDate") is None


@pytest.mark.parametrize("stated", ["", "^^^^", " = = ", "^=^"])
def test_a_name_without_letters_is_none(stated: str) -> None:
    header = Dataset()
    header.PatientName = stated
    assert patient_facts(header).name_groups == ()
