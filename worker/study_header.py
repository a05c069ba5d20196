"""What a study's instances say of patient and study: for the worklist, and for messages.

A value that cannot be used is left out and never costs the study its outcome.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydicom import Dataset

from db.records import NewFinding, StudyHeader
from db.study_headers import fold
from dicom_node.patient import (
    LONGEST,
    PatientFacts,
    date_of,
    patient_facts,
    printable,
    shown_group,
    text_of,
)
from dicom_node.study_elements import decode_elements, elements_of
from worker.results import Source, header_or_nothing
from worklist.flags.content import FlagPatient, NameGroup

_REPRESENTATIONS = "AIP"
"""Of a name's groups, in DICOM's order, by HL7's letters."""


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
    patient = patient_facts(header)
    groups = [shown_group(group) for group in patient.name_groups]
    body_parts = dict.fromkeys(printable(one.body_part_examined or "") for one in findings)
    return StudyHeader(
        patient_name=patient.name[:LONGEST],
        patient_name_folded=fold(" ".join(groups))[:LONGEST],
        patient_id=patient.patient_id,
        patient_birth_date=patient.birth_date,
        patient_sex=patient.sex[:16],
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


def header_of_patients(header: StudyHeader, patients: Sequence[PatientFacts]) -> StudyHeader:
    """Return the header of a study whose instances name different patients: it names them all.

    No report can be made of it: its elements would name one of them.
    """
    names = [patient.name or "(no name)" for patient in patients]
    folded = [group for patient in patients for group in map(shown_group, patient.name_groups)]
    return replace(
        header,
        patient_name=" | ".join(names)[:LONGEST],
        patient_name_folded=fold(" ".join(folded))[:LONGEST],
        patient_id=" | ".join(patient.patient_id or "(no ID)" for patient in patients)[:LONGEST],
        patient_birth_date=None,
        patient_sex="",
        elements=b"",
    )


def flag_patient(header: Dataset) -> FlagPatient:
    """Who a message is about."""
    patient = patient_facts(header)
    groups = zip(patient.name_groups, _REPRESENTATIONS, strict=False)
    names = [_name_group(group, letter) for group, letter in groups if group]
    return FlagPatient(
        names=tuple(names),
        patient_id=patient.patient_id,
        issuer_of_patient_id=patient.issuer_of_patient_id,
        birth_date=patient.birth_date,
        sex=patient.sex,
    )


def _name_group(group: str, representation: str) -> NameGroup:
    parts = [part.strip() for part in group.split("^")]
    family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
    return NameGroup(family, given, middle, prefix, suffix, representation)
