"""The patient and study modules of a result: copied from its source, here and nowhere else."""

from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import cast

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import VR

from dicom_node.legal_values import drop_contradictions, legal_element

_TEXT_VRS = frozenset({VR.LO, VR.LT, VR.PN, VR.SH, VR.ST, VR.UC, VR.UT})

_SOP_COMMON = ("SpecificCharacterSet", "TimezoneOffsetFromUTC")

_PATIENT = (  # PS3.3 C.7.1.1
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)

_STUDY = (  # PS3.3 C.7.2.1
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingService",
    "ReferencedStudySequence",
    "ProcedureCodeSequence",
)

_PATIENT_STUDY = (  # PS3.3 C.7.2.2
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "PregnancyStatus",
    "LastMenstrualDate",
    "SmokingStatus",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ServiceEpisodeDescription",
)

_ALWAYS_PRESENT = (  # type 2
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)


def copy_patient_and_study(reference: Dataset) -> Dataset:
    """A new data set with the patient, study and patient study modules of `reference`.

    Verbatim, where its values are legal (`dicom_node.legal_values`), with its Specific Character
    Set, time zone and Issuer of Patient ID. Type 2 attributes that are absent are there, empty.
    """
    copied = Dataset()
    for keyword in (*_SOP_COMMON, *_PATIENT, *_STUDY, *_PATIENT_STUDY):
        tag = Tag(tag_for_keyword(keyword) or 0)
        if tag in reference and _may_stand(reference, tag):
            copied[tag] = _verbatim(reference, tag)
    drop_contradictions(copied)
    for keyword in _ALWAYS_PRESENT:
        if keyword not in copied:
            setattr(copied, keyword, None)
    # Tells pydicom that undecoded text can be written as it is.
    copied.set_original_encoding(False, True, reference.original_character_set)
    return copied


def with_patient_of(header: Dataset, named: Dataset) -> Dataset:
    """Return a copy of a header whose patient module is that of another instance, in UTF-8."""
    renamed, patient = deepcopy(header), deepcopy(named)
    for dataset in (renamed, patient):
        dataset.decode()
        # Else pydicom writes the new text in the character set that was read.
        implicit_vr, little_endian = dataset.original_encoding
        dataset.set_original_encoding(implicit_vr, little_endian, "ISO_IR 192")
    for keyword in _PATIENT:
        if keyword in renamed:
            delattr(renamed, keyword)
        if keyword in patient:
            renamed[keyword] = patient[keyword]
    renamed.SpecificCharacterSet = "ISO_IR 192"
    return renamed


def in_study_time(reference: Dataset, now: datetime) -> datetime:
    """`now` in the time zone that `reference` states for its dates and times, if it states one.

    Timezone Offset From UTC (0008,0201) holds for a whole data set (PS3.3 C.12.1), so a result that
    carries the study's dates must write its own in the same zone. A naive `now` stays as it is.
    """
    offset = str(reference.get("TimezoneOffsetFromUTC") or "").strip()
    if now.tzinfo is None or len(offset) != 5 or not offset[1:].isdecimal():
        return now
    delta = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    if offset[0] not in "+-" or delta >= timedelta(hours=24):
        return now
    return now.astimezone(timezone(-delta if offset[0] == "-" else delta))


def _may_stand(reference: Dataset, tag: BaseTag) -> bool:
    """Whether an element is legal; what it holds stays undecoded in the reference."""
    try:
        return legal_element(_decoded(reference, tag)) is not None
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return False


def _decoded(reference: Dataset, tag: BaseTag) -> DataElement:
    """The element with its value, of the VR of the dictionary, apart from the reference."""
    element = cast("DataElement | RawDataElement", reference.get_item(tag))
    if not isinstance(element, RawDataElement):
        return element
    raw = element._replace(VR=dictionary_VR(tag))
    return convert_raw_data_element(raw, encoding=reference.original_character_set, ds=reference)


def _verbatim(reference: Dataset, tag: BaseTag) -> DataElement | RawDataElement:
    """The element; text that nobody has decoded yet stays bytes, which re-encoding might change."""
    vr = dictionary_VR(tag)
    element = cast("DataElement | RawDataElement", reference.get_item(tag))
    if isinstance(element, RawDataElement) and vr in _TEXT_VRS:
        return element._replace(VR=vr)
    return cast(DataElement, legal_element(reference[tag]))
