"""HL7 messages, read back by `hl7`, a parser that had no part in making them."""

import unicodedata
from dataclasses import replace

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.outcomes import Outcome
from db.states import FlagKind
from tests.unit.worklist.flag_contents import LIKELY, NOW, make_flag, make_patient
from worklist.flags.content import Flag, NameGroup, control_id, flag_uid
from worklist.flags.hl7 import OBSERVATIONS, Hl7Parties, build_message, clean, escape

PARTIES = Hl7Parties("FRACTURESCREEN", "RADIOLOGY", "RIS", "HOSPITAL")
HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "A^B&C~D\\E|F",
    "\\F\\ \\S\\ \\E\\ \\X0D\\ \\.br\\",
    "line\rOBX|1|ST|forged\nPID|2",
    "\x0b\x1c\x00\x85\u2028",
    "\u202eevil\u202c",
    "\ud800 lone",
    "x" * 5000,
    "\\" * 400,
]


def parsed(flag: Flag) -> hl7.Message:
    return hl7.parse(build_message(flag, PARTIES).decode())


def observations(message: hl7.Message) -> list[tuple[str, str, str, str, str]]:
    """(identifier, sub-ID, value, abnormal flag, status) of each OBX."""
    return [
        (str(one[3]).split("^")[0], str(one[4]), str(one[5]), str(one[8]), str(one[11]))
        for one in message.segments("OBX")
    ]


def value_of(message: hl7.Message, identifier: str) -> str:
    (found,) = (value for code, _, value, _, _ in observations(message) if code == identifier)
    return found


def test_the_header_says_who_what_and_in_which_characters() -> None:
    msh = parsed(make_flag()).segment("MSH")
    assert [str(msh[n]) for n in (3, 4, 5, 6)] == ["FRACTURESCREEN", "RADIOLOGY", "RIS", "HOSPITAL"]
    assert str(msh[7]) == "20260304050607+0000"
    assert str(msh[9]) == "ORU^R01^ORU_R01"
    assert [str(msh[n]) for n in (11, 12, 18)] == ["P", "2.5.1", "UNICODE UTF-8"]


def test_the_control_id_follows_from_what_is_said_and_fits_20_characters() -> None:
    later = make_flag(made_at=NOW.replace(year=2027))
    first, again = (str(parsed(one).segment("MSH")[10]) for one in (make_flag(), later))
    assert first == again
    assert len(first) == 20
    others = [make_flag(revision=2), make_flag(receiver="ehr"), make_flag(probability=0.5)]
    assert len({control_id(flag_uid(FlagKind.HL7, one)) for one in (make_flag(), *others)}) == 4


def test_patient_and_order_are_where_receivers_look_for_them() -> None:
    message = parsed(make_flag())
    pid, obr = message.segment("PID"), message.segment("OBR")
    assert str(pid[3]) == "PHANTOM^^^HOSPITAL"
    # HL7 has suffix before prefix, DICOM the other way round.
    assert str(pid[5]) == "Canary^Patient^Middle^Jr^Dr^^L^A"
    assert (str(pid[7]), str(pid[8])) == ("19700102", "F")
    assert (str(obr[3]), str(obr[18])) == ("A1", "A1")
    assert str(obr[4]).startswith("FRACTURE-SCREENING^")
    assert (str(obr[7]), str(obr[25])) == ("20260303", "P")


def test_every_way_to_write_the_name_is_told() -> None:
    names = (
        NameGroup("Hong", "Gildong", "", "", "", "A"),
        NameGroup("洪", "吉洞", "", "", "", "I"),
        NameGroup("홍", "길동", "", "", "", "P"),
    )
    pid = parsed(make_flag(patient=make_patient(names=names))).segment("PID")
    assert str(pid[5]) == "Hong^Gildong^^^^^L^A~洪^吉洞^^^^^L^I~홍^길동^^^^^L^P"


def test_a_patient_without_id_is_not_named() -> None:
    message = build_message(make_flag(patient=make_patient(patient_id="")), PARTIES)
    assert b"PID" not in message
    assert b"Canary" not in message


def test_a_number_that_is_too_long_is_left_out_and_never_cut() -> None:
    long = "1" * 65
    message = parsed(make_flag(patient=make_patient(patient_id=long), accession_number=long))
    assert "1" * 20 not in str(message)
    assert str(message.segment("OBR")[18]) == ""


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        ("HOSPITAL", "HOSPITAL"),
        ("1.2.840.1", "&1.2.840.1&ISO"),
        ("A hospital with a long name", "&A hospital with a long name&L"),
    ],
)
def test_who_issued_the_patient_id_is_told(issuer: str, told: str) -> None:
    patient = make_patient(issuer_of_patient_id=issuer)
    assert str(parsed(make_flag(patient=patient)).segment("PID")[3]) == f"PHANTOM^^^{told}"


def test_a_patient_without_name_has_an_unspecified_one() -> None:
    pid = parsed(make_flag(patient=make_patient(names=(), birth_date=None, sex=""))).segment("PID")
    assert (str(pid[5]), str(pid[7]), str(pid[8])) == ("^^^^^^U", "", "U")


@pytest.mark.parametrize(
    ("outcome", "code", "abnormal"),
    [
        (Outcome.POSITIVE, "LIKELY^Fracture likely^99FSCREEN", "A"),
        (Outcome.DOUBTFUL, "POSSIBLE^Fracture possible^99FSCREEN", "A"),
        (Outcome.NEGATIVE, "NEGATIVE^No fracture flagged^99FSCREEN", "N"),
        (Outcome.INCOMPLETE, "INCOMPLETE^Incomplete^99FSCREEN", ""),
        (Outcome.NOT_ANALYSED, "NOT-ANALYSED^Not analysed^99FSCREEN", ""),
    ],
)
def test_the_result_is_coded_with_its_abnormal_flag(
    outcome: Outcome, code: str, abnormal: str
) -> None:
    found = observations(parsed(make_flag(outcome=outcome)))
    assert ("RESULT", "", code, abnormal, "P") in found


def test_each_radiograph_has_its_own_observations() -> None:
    found = observations(parsed(make_flag()))
    assert [(code, value, flag) for code, group, value, flag, _ in found if group == "1"] == [
        ("IMAGE", "1.2.3.1", ""),
        ("IMAGE-FRAME", "1", ""),
        ("IMAGE-RESULT", "LIKELY^Fracture likely^99FSCREEN", "A"),
        ("IMAGE-PROBABILITY", "0.9123", ""),
    ]
    assert [(code, value) for code, group, value, _, _ in found if group == "3"] == [
        ("IMAGE", "1.2.3.3"),
        ("IMAGE-RESULT", "NOT-ANALYSED^Not analysed^99FSCREEN"),
        ("IMAGE-REASON", "the image is blank"),
    ]


def test_study_model_use_and_origin_are_told() -> None:
    message = parsed(make_flag(retrospective=True, revision=3))
    assert value_of(message, "113014") == "1.2.3"
    assert value_of(message, "PROBABILITY") == "0.9123"
    assert value_of(message, "111001") == "mobilenet"
    assert value_of(message, "111003") == "1.0"
    assert value_of(message, "MODEL-DIGEST") == "ab" * 32
    assert value_of(message, "REVISION") == "3"
    assert value_of(message, "RETROSPECTIVE") == "Y"
    assert value_of(message, "NOTICE") == "Research use only, not for primary diagnosis"


def test_a_correction_says_so_in_order_and_observations() -> None:
    message = parsed(make_flag(corrected=True))
    assert str(message.segment("OBR")[25]) == "C"
    assert {status for *_, status in observations(message)} == {"C"}


def test_nothing_says_which_study_is_to_be_read_first() -> None:
    message = parsed(make_flag())
    assert not hasattr(message, "TQ1")
    obr = message.segment("OBR")
    assert str(obr[5]) == ""
    assert len(obr) <= 27 or str(obr[27]) == ""
    text = str(message).lower()
    assert not any(word in text for word in ("stat|", "urgent", "priority", "asap", "triage"))


def test_a_test_message_is_one_for_training() -> None:
    assert str(parsed(make_flag(test=True)).segment("MSH")[11]) == "T"


def test_of_many_radiographs_the_first_hundred_are_told_and_the_rest_counted() -> None:
    many = tuple(replace(LIKELY, sop_instance_uid=f"1.2.3.{n}") for n in range(103))
    found = observations(parsed(make_flag(images=many)))
    assert sum(code == "IMAGE" for code, *_ in found) == 100
    assert [value for code, _, value, _, _ in found if code == "IMAGES-LEFT-OUT"] == ["3"]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_forges_a_segment_or_a_field(value: str) -> None:
    name = NameGroup(value, value, value, value, value, "A")
    patient = make_patient(names=(name,), patient_id="P" + value, issuer_of_patient_id=value)
    hostile = make_flag(accession_number=value, reason=value, patient=patient)
    message = parsed(hostile)
    known = len(clean("P" + value)) <= 64
    patient = make_patient() if known else make_patient(patient_id="")
    plain = parsed(make_flag(reason="why", patient=patient))
    assert [str(one[0]) for one in message] == [str(one[0]) for one in plain]
    assert [len(one) for one in message] == [len(one) for one in plain]


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_an_independent_parser_reads_every_text_back(text: str) -> None:
    message = hl7.parse("MSH|^~\\&|X\rOBX|1|TX|||" + escape(text, 1000) + "\r")
    value = str(message.segment("OBX")[5])
    assert value.split("^") == [value]
    assert message.unescape(value) == clean(text)


@given(st.text(), st.integers(0, 300))
def test_what_is_cut_ends_between_escape_sequences(text: str, longest: int) -> None:
    escaped = escape(text, longest)
    assert len(escaped) <= longest
    assert escaped.count("\\") % 2 == 0
    assert not any(unicodedata.category(character) == "Cc" for character in escaped)


@given(st.text(max_size=80), st.text(max_size=80), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_any_header_gives_a_valid_message(name: str, number: str, probability: float) -> None:
    patient = make_patient(names=(NameGroup(name, number, "", "", "", "A"),), patient_id=number)
    build_message(
        make_flag(patient=patient, accession_number=name, probability=probability), PARTIES
    )


def test_our_identifiers_have_one_name_each() -> None:
    assert len(set(OBSERVATIONS.values())) == len(OBSERVATIONS)
