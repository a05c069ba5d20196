"""What a study's instances say of patient and study: for the worklist, and for messages.

A value that cannot be used is left out and never costs the study its outcome.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from pydicom import Dataset

from db.records import NewFinding, StudyHeader
from db.study_headers import fold
from dicom_node.study_elements import decode_elements, elements_of
from worker.report.content import person_name
from worker.results import Source, header_or_nothing
from worklist.flags.content import FlagPatient, NameGroup

LONGEST = 255
"""Characters of a value; VRs allow fewer, peers send more."""

_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
"""DA (PS3.5 6.2), and as ACR-NEMA 300 had it."""
_REPRESENTATIONS = "AIP"
"""Of a name's groups, in DICOM's order, by HL7's letters."""
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cn"})


def first_header(sources: Sequence[Source]) -> Dataset | None:
    """Of the first radiograph that can be read, else of the first other instance; None: of none."""
    for source in sorted(sources, key=lambda one: not one.is_radiograph):
        header = header_or_nothing(source)
        if "StudyInstanceUID" in header:
            return header
    return None


def study_header(header: Dataset, findings: Sequence[NewFinding]) -> StudyHeader:
    """What the worklist shows. Text is decoded as its Specific Character Set says.

    `header` comes fresh from its parser: a value that was used before is not among the elements
    that are kept for a report without files.
    """
    elements = elements_of(header)
    groups = [person_name(group) for group in _groups(header)]
    body_parts = dict.fromkeys(printable(one.body_part_examined or "") for one in findings)
    return StudyHeader(
        patient_name=next((name for name in groups if name), "")[:LONGEST],
        patient_name_folded=fold(" ".join(groups))[:LONGEST],
        patient_id=text_of(header, "PatientID"),
        patient_birth_date=date_of(header, "PatientBirthDate"),
        patient_sex=text_of(header, "PatientSex").upper()[:16],
        accession_number=text_of(header, "AccessionNumber"),
        study_date=date_of(header, "StudyDate"),
        study_description=text_of(header, "StudyDescription"),
        body_parts=", ".join(part for part in body_parts if part)[:LONGEST],
        elements=elements,
    )


def received_header(patient_and_study: bytes) -> StudyHeader:
    """Return what reception knows of a study, from an instance's `patient_and_study` elements."""
    header = decode_elements(patient_and_study)
    recorded = study_header(header, ())
    body_part = text_of(header, "BodyPartExamined").upper()
    return replace(recorded, body_parts=body_part, elements=patient_and_study)


def flag_patient(header: Dataset) -> FlagPatient:
    """Who a message is about."""
    groups = zip(_groups(header), _REPRESENTATIONS, strict=False)
    names = [_name_group(group, letter) for group, letter in groups if group]
    return FlagPatient(
        names=tuple(names),
        patient_id=text_of(header, "PatientID"),
        issuer_of_patient_id=text_of(header, "IssuerOfPatientID"),
        birth_date=date_of(header, "PatientBirthDate"),
        sex=text_of(header, "PatientSex").upper(),
    )


def text_of(header: Dataset, keyword: str) -> str:
    """A value as one line; "" where there is none, or none that can be used."""
    try:
        return printable(str(header.get(keyword) or ""))
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return ""


def date_of(header: Dataset, keyword: str) -> date | None:
    """A day; None where there is none."""
    found = _DATE.fullmatch(text_of(header, keyword))
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def printable(text: str) -> str:
    """On one line, without control characters, at most LONGEST characters."""
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c) not in _UNPRINTABLE)[:LONGEST]


def _groups(header: Dataset) -> list[str]:
    """A name's component groups: alphabetic, ideographic, phonetic (PS3.5 6.2.1.2)."""
    groups = text_of(header, "PatientName").split("=")[:3]
    return [group if group.strip(" ^") else "" for group in groups]


def _name_group(group: str, representation: str) -> NameGroup:
    parts = [part.strip() for part in group.split("^")]
    family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
    return NameGroup(family, given, middle, prefix, suffix, representation)
