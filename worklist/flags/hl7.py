"""A result as an HL7 v2.5.1 message (ORU^R01). Pure: content in, text out.

Where IHE Radiology says how (Results Distribution, RAD-128), so: the accession number in OBR-18,
the study by `113014^DICOM Study^DCM`. OBR-3 holds the accession number too: it is what most
receivers know an order's results by. PID is left out where the patient's ID is not known, since
nobody should be found by name alone; PV1 and ORC are, since we know nothing of visit and order.

Results are preliminary (P): no person has verified them, and a system that takes F for a report
must not. A later message about the same study is a correction (C).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException

from db.outcomes import OUTCOMES, Outcome
from db.states import FlagKind
from worklist.flags.content import (
    MOST_IMAGES,
    NOTICE,
    Flag,
    FlagImage,
    FlagPatient,
    NameGroup,
    control_id,
    flag_uid,
)

CODING_SYSTEM = "99FSCREEN"
"""Ours (table 0396: 99zzz is local). No LOINC or RadLex term says what these observations do."""

_SERVICE = ("FRACTURE-SCREENING", "AI fracture screening of radiographs", CODING_SYSTEM)
_STUDY = ("113014", "DICOM Study", "DCM")
_ALGORITHM_NAME = ("111001", "Algorithm Name", "DCM")
_ALGORITHM_VERSION = ("111003", "Algorithm Version", "DCM")

OBSERVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "SCHEMA": "Version of these observations and codes",
        "RESULT": "Result of the AI screening",
        "PROBABILITY": "Probability of a fracture from 0 to 1, highest of the radiographs",
        "REASON": "Why the study or a part of it was not analysed",
        "IMAGE": "SOP Instance UID of a radiograph",
        "IMAGE-FRAME": "Frame number, from 1",
        "IMAGE-RESULT": "Result for this radiograph",
        "IMAGE-PROBABILITY": "Probability of a fracture in this radiograph, from 0 to 1",
        "IMAGE-REASON": "Why this radiograph was not analysed",
        "IMAGES-LEFT-OUT": "Number of radiographs not listed",
        "MODEL-DIGEST": "SHA-256 of the model",
        "REVISION": "Revision of the study's analysis, from 1",
        "RETROSPECTIVE": "Whether made in retrospect (Y, N)",
        "NOTICE": "Intended use",
    }
)
"""Our observation identifiers (OBX-3), with their names."""

SCHEMA_VERSION = "2"
"""Of these observations and their codes. 2: LIKELY and POSSIBLE in place of DEFINITE and
SUSPICIOUS, INCOMPLETE is new."""

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_LONGEST = 199
"""Characters of a text (ST) in v2.5.1, once escaped."""
_LONGEST_TEXT = 1000
_LONGEST_NAMESPACE = 20
_LONGEST_NUMBER = 64
"""Characters that DICOM allows a Patient ID (LO); an Accession Number 16, which peers exceed."""
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_SPACE = re.compile(r"\s+")
_DROPPED = frozenset({"Cc", "Cs", "Cn"})


class MessageNotMade(Exception):
    """The message would not be one of HL7 v2.5.1; says where, without any value."""


@dataclass(frozen=True, slots=True)
class Hl7Parties:
    """MSH-3 to MSH-6."""

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str


def build_message(flag: Flag, parties: Hl7Parties) -> bytes:
    """The message in UTF-8, segments ended by CR, without MLLP's frame.

    Raises:
        MessageNotMade: hl7apy finds it invalid.
    """
    status = "C" if flag.corrected else "P"
    observations = [_obx(n, one, status) for n, one in enumerate(_observations(flag), start=1)]
    pid = [_pid(flag.patient)] if _number_of(flag.patient.patient_id) else []
    try:
        return _validated(_msh(flag, parties), pid, _obr(flag, status), observations)
    except HL7apyException as error:
        raise MessageNotMade(f"invalid as HL7 ({type(error).__name__})") from None


def escape(text: str, longest: int = _LONGEST) -> str:
    """A text as part of a field (chapter 2.7): delimiters escaped, no control characters.

    What does not fit into `longest` characters is left out, and never half of an escape sequence.
    """
    escaped = ""
    for character in clean(text):
        further = _ESCAPES.get(character, character)
        if len(escaped) + len(further) > longest:
            break
        escaped += further
    return escaped


def clean(text: str) -> str:
    """Without control characters, lone surrogates and unassigned code points; one space for any
    white space."""
    spaced = _SPACE.sub(" ", text)
    return "".join(c for c in spaced if unicodedata.category(c) not in _DROPPED).strip()


@dataclass(frozen=True, slots=True)
class _Observation:
    value_type: str
    identifier: tuple[str, str, str]
    value: str
    """Encoded already."""
    group: str = ""
    abnormal: str = ""


def _observations(flag: Flag) -> Iterator[_Observation]:
    yield _Observation("ST", _STUDY, escape(flag.study_instance_uid))
    yield _own("ST", "SCHEMA", SCHEMA_VERSION)
    abnormal = OUTCOMES[flag.outcome].hl7_abnormal
    yield _own("CWE", "RESULT", _result(flag.outcome), abnormal=abnormal)
    if flag.probability is not None:
        yield _own("NM", "PROBABILITY", _number(flag.probability))
    if flag.reason:
        yield _own("TX", "REASON", escape(flag.reason, _LONGEST_TEXT))
    for number, image in enumerate(flag.images[:MOST_IMAGES], start=1):
        yield from _of_image(str(number), image)
    left_out = len(flag.images) - MOST_IMAGES
    if left_out > 0:
        yield _own("NM", "IMAGES-LEFT-OUT", str(left_out))
    yield _Observation("ST", _ALGORITHM_NAME, escape(flag.model.name))
    yield _Observation("ST", _ALGORITHM_VERSION, escape(flag.model.version))
    yield _own("ST", "MODEL-DIGEST", escape(flag.model.digest))
    yield _own("NM", "REVISION", str(flag.revision))
    yield _own("ST", "RETROSPECTIVE", "Y" if flag.retrospective else "N")
    yield _own("TX", "NOTICE", escape(NOTICE))


def _of_image(number: str, image: FlagImage) -> Iterator[_Observation]:
    yield _own("ST", "IMAGE", escape(image.sop_instance_uid), number)
    if image.frame_number:
        yield _own("NM", "IMAGE-FRAME", str(image.frame_number), number)
    abnormal = OUTCOMES[image.outcome].hl7_abnormal
    yield _own("CWE", "IMAGE-RESULT", _result(image.outcome), number, abnormal)
    if image.probability is not None:
        yield _own("NM", "IMAGE-PROBABILITY", _number(image.probability), number)
    if image.reason:
        yield _own("TX", "IMAGE-REASON", escape(image.reason, _LONGEST_TEXT), number)


def _own(
    value_type: str, code: str, value: str, group: str = "", abnormal: str = ""
) -> _Observation:
    identifier = (code, OBSERVATIONS[code], CODING_SYSTEM)
    return _Observation(value_type, identifier, value, group, abnormal)


def _result(outcome: Outcome) -> str:
    terms = OUTCOMES[outcome]
    return "^".join((terms.hl7_code, terms.word, CODING_SYSTEM))


def _number_of(text: str) -> str:
    """A patient's or an order's; "" for one that is too long: cut, it might be another's."""
    return escape(text) if len(clean(text)) <= _LONGEST_NUMBER else ""


def _issuer(text: str) -> str:
    """HD within CX: a name, or what is too long for one as a universal ID."""
    if _OID.fullmatch(text):
        return f"&{text}&ISO"
    name = escape(text)
    return name if len(name) <= _LONGEST_NAMESPACE else f"&{name}&L"


def _number(probability: float) -> str:
    return f"{probability:.4f}"


def _msh(flag: Flag, parties: Hl7Parties) -> str:
    return _segment(
        "MSH",
        {
            2: "^~\\&",
            3: escape(parties.sending_application),
            4: escape(parties.sending_facility),
            5: escape(parties.receiving_application),
            6: escape(parties.receiving_facility),
            7: _moment(flag.made_at),
            9: "ORU^R01^ORU_R01",
            10: control_id(flag_uid(FlagKind.HL7, flag)),
            11: "T" if flag.test else "P",
            12: "2.5.1",
            18: "UNICODE UTF-8",
        },
        first=2,  # MSH-1 is the separator itself
    )


def _pid(patient: FlagPatient) -> str:
    parts = (_number_of(patient.patient_id), "", "", _issuer(patient.issuer_of_patient_id))
    identifier = "^".join(parts).rstrip("^")
    return _segment(
        "PID",
        {
            1: "1",
            3: identifier,
            5: "~".join(map(_name, patient.names)) or "^^^^^^U",
            7: _day(patient.birth_date),
            8: patient.sex if patient.sex in ("M", "F", "O") else "U",
        },
    )


def _name(name: NameGroup) -> str:
    """XPN. HL7 has the suffix before the prefix, DICOM after it."""
    parts = (name.family, name.given, name.middle, name.suffix, name.prefix)
    return "^".join((*(escape(part, 50) for part in parts), "", "L", name.representation))


def _obr(flag: Flag, status: str) -> str:
    accession_number = _number_of(flag.accession_number)
    return _segment(
        "OBR",
        {
            1: "1",
            3: accession_number,
            4: "^".join(_SERVICE),
            7: _day(flag.study_date),
            18: accession_number,
            22: _moment(flag.made_at),
            24: "RAD",
            25: status,
        },
    )


def _obx(number: int, observation: _Observation, status: str) -> str:
    return _segment(
        "OBX",
        {
            1: str(number),
            2: observation.value_type,
            3: "^".join(observation.identifier),
            4: observation.group,
            5: observation.value,
            8: observation.abnormal,
            11: status,
        },
    )


def _segment(name: str, fields: Mapping[int, str], first: int = 1) -> str:
    values = [fields.get(number, "") for number in range(first, max(fields) + 1)]
    return "|".join((name, *values))


def _day(day: date | None) -> str:
    return f"{day:%Y%m%d}" if day and day.year >= 1000 else ""


def _moment(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"


def _validated(msh: str, pid: Sequence[str], obr: str, observations: Sequence[str]) -> bytes:
    # Not STRICT while it is put together: hl7apy takes any OBX-5 for an ST there. `validate` is.
    message = Message("ORU_R01", version="2.5.1", validation_level=VALIDATION_LEVEL.TOLERANT)
    message.msh = msh
    result = message.add_group("ORU_R01_PATIENT_RESULT")
    for segment in pid:
        result.add_group("ORU_R01_PATIENT").add_segment("PID").value = segment
    order = result.add_group("ORU_R01_ORDER_OBSERVATION")
    order.add_segment("OBR").value = obr
    for segment in observations:
        order.add_group("ORU_R01_OBSERVATION").add_segment("OBX").value = segment
    message.validate()
    text = "\r".join((msh, *pid, obr, *observations)) + "\r"
    if message.to_er7() + "\r" != text:
        raise MessageNotMade("hl7apy reads it as something else")
    return text.encode("utf-8")
