"""What is recorded of a study's header: in every script, and whatever is wrong with it."""

from datetime import date
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement

from db.records import NewFinding, StudyHeader
from db.study_headers import fold
from dicom_node.received import describe_file
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.results import Source
from worker.study_header import first_header, flag_patient, study_header

FINDINGS = [
    NewFinding("1", 1, analysed=True, body_part_examined="HAND"),
    NewFinding("2", 1, analysed=True, body_part_examined="WRIST"),
    NewFinding("3", 1, analysed=True, body_part_examined="HAND"),
    NewFinding("4", 0, analysed=False, reason="not a CR or DX image"),
]


def recorded(tmp_path: Path, **values: object) -> StudyHeader:
    """Of an instance that was written and read."""
    dataset = radiograph_dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    header = dcmread(write_instance(dataset, tmp_path / "one.dcm"))
    return study_header(header, FINDINGS)


def source_of(path: Path) -> Source:
    instance = describe_file(path, "")
    return Source(instance.sop_instance_uid, instance.sop_class_uid, instance.sha256, path)


def test_a_header_is_recorded_as_people_read_it(tmp_path: Path) -> None:
    assert recorded(tmp_path, StudyDescription="Hand rechts") == StudyHeader(
        patient_name="Phantom, Test",
        patient_name_folded="phantom test",
        patient_id="PHANTOM",
        patient_birth_date=date(1970, 1, 1),
        patient_sex="O",
        accession_number="A1",
        study_date=date(2026, 3, 4),
        study_description="Hand rechts",
        body_parts="HAND, WRIST",
    )


@pytest.mark.parametrize(
    ("character_set", "name", "shown", "searches"),
    [
        ("ISO_IR 100", "Äneas^Rüdiger", "Äneas, Rüdiger", ["aneas", "RUDIGER", "äneas rüdiger"]),
        (
            ["", "ISO 2022 IR 149"],
            "Hong^Gildong=洪^吉洞=홍^길동",
            "Hong, Gildong",
            ["홍", "洪 吉洞"],
        ),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "Yamada, Tarou",
            ["山田", "yamada"],
        ),
        ("ISO_IR 127", "قباني^لنزار", "قباني, لنزار", ["قباني", "قَبّاني لنزار"]),
        ("ISO_IR 192", "=王^小東", "王, 小東", ["王 小東"]),
        ("ISO_IR 192", "ｆｕｌｌ^Straße", "ｆｕｌｌ, Straße", ["FULL STRASSE"]),
    ],
)
def test_names_of_every_script_are_shown_and_found(
    tmp_path: Path, character_set: object, name: str, shown: str, searches: list[str]
) -> None:
    header = recorded(tmp_path, SpecificCharacterSet=character_set, PatientName=name)
    assert header.patient_name == shown
    for search in searches:
        assert fold(search) in header.patient_name_folded, search


def test_folding_is_the_same_twice() -> None:
    for text in ("İstanbul", "홍^길동", "Ά̓, B=C\u202e", "ﬁ\u200d"):
        assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    "day", ["20261301", "19700132", "1970", "heute", "00000000", "1970010199", "\x00\x01"]
)
def test_a_broken_date_is_none(tmp_path: Path, day: str) -> None:
    header = recorded(tmp_path, PatientBirthDate=day, StudyDate=day)
    assert (header.patient_birth_date, header.study_date) == (None, None)


def test_a_date_of_the_old_form_is_read(tmp_path: Path) -> None:
    assert recorded(tmp_path, StudyDate="2026.03.04").study_date == date(2026, 3, 4)


def test_control_characters_and_long_values_are_cut(tmp_path: Path) -> None:
    dirty = recorded(tmp_path, PatientID="A\x00\r\nB\x1b" + "x" * 5000, PatientName="N" * 5000)
    assert dirty.patient_id.startswith("A Bxxx")
    assert (len(dirty.patient_id), len(dirty.patient_name)) == (255, 255)
    assert len(dirty.patient_name_folded) == 255


def test_values_of_a_wrong_kind_cost_nothing() -> None:
    header = Dataset()
    header.add(DataElement(0x00100010, "SQ", [Dataset()]))
    header.add(DataElement(0x00100020, "LO", ["A", "B"]))
    header.add(DataElement(0x00080020, "OB", b"\xff\xfe"))
    made = study_header(header, ())
    assert made.study_date is None
    assert made.body_parts == ""


def test_an_empty_header_is_recorded_as_empty() -> None:
    made = study_header(Dataset(), ())
    assert made == StudyHeader("", "", "", None, "", "", None, "", "")
    assert flag_patient(Dataset()).names == ()


def test_the_components_of_a_name_reach_a_message_apart(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.PatientName = "Family^Given^Middle^Prefix^Suffix=漢^字"
    first, second = flag_patient(dataset).names
    assert (first.family, first.prefix, first.suffix) == ("Family", "Prefix", "Suffix")
    assert (second.family, second.given, second.representation) == ("漢", "字", "I")


def test_several_values_of_an_identifier_reach_worklist_and_message_as_sent() -> None:
    dataset = radiograph_dataset()
    dataset.PatientID = dataset.AccessionNumber = ["12345", "12346"]
    header = study_header(dataset, ())
    assert header.patient_id == header.accession_number == "12345\\12346"
    assert flag_patient(dataset).patient_id == "12345\\12346"


def test_a_radiograph_speaks_for_the_study_before_any_other_instance(tmp_path: Path) -> None:
    other = radiograph_dataset(2)
    other.SOPClassUID, other.PatientName = "1.2.840.10008.5.1.4.1.1.7", "Other^Object"
    paths = [
        write_instance(other, tmp_path / "other.dcm"),
        write_instance(radiograph_dataset(), tmp_path / "radiograph.dcm"),
    ]
    header = first_header([source_of(path) for path in paths])
    assert header is not None
    assert header.PatientName == "Phantom^Test"


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    readable = source_of(write_instance(radiograph_dataset(), tmp_path / "one.dcm"))
    gone = Source("1.2", readable.sop_class_uid, "00" * 32, tmp_path / "gone.dcm")
    assert first_header([gone, readable]) is not None
    assert first_header([gone]) is None
