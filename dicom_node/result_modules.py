"""Modules that all result objects share beside patient and study: series, equipment, SOP common."""

from collections.abc import Mapping
from datetime import datetime

from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom_node.patient_study import copy_patient_and_study
from dicom_node.result_file import MANUFACTURER
from dicom_node.result_identity import ResultIdentity


def start_result(
    reference: Dataset, sop_class_uid: str, *, modality: str, identity: ResultIdentity, at: datetime
) -> Dataset:
    """A result with all but its content: patient, study, series, equipment and SOP common modules.

    `at` is when the content was made, in the study's time zone.
    """
    result = copy_patient_and_study(reference)
    date, time = f"{at:%Y%m%d}", f"{at:%H%M%S}"
    put(
        result,
        {
            # SOP Common, PS3.3 C.12.1
            "SOPClassUID": sop_class_uid,
            "SOPInstanceUID": identity.sop_instance_uid,
            "InstanceCreationDate": date,
            "InstanceCreationTime": time,
            "ContributingEquipmentSequence": [_contributing_equipment(identity, at)],
            # General Series, C.7.3.1
            "Modality": modality,
            "SeriesInstanceUID": identity.series_instance_uid,
            "SeriesNumber": identity.series_number,
            "SeriesDate": date,
            "SeriesTime": time,
            "SeriesDescription": identity.series_description,
            # General Equipment, C.7.5.1
            "Manufacturer": MANUFACTURER,
            "ManufacturerModelName": identity.model_name,
            "SoftwareVersions": [identity.software_version, identity.model_version],
            # General Image, C.7.6.1, and Encapsulated Document, C.24.2
            "InstanceNumber": identity.instance_number,
            "ContentDate": date,
            "ContentTime": time,
        },
    )
    return result


def put(dataset: Dataset, values: Mapping[str, object]) -> None:
    """Set attributes by keyword; a list of data sets becomes a sequence."""
    for keyword, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], Dataset):
            setattr(dataset, keyword, Sequence(value))
        else:
            setattr(dataset, keyword, value)


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    put(item, {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning})
    return item


def reference_item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item that refers to a SOP instance (PS3.3 table 10-11)."""
    item = Dataset()
    put(
        item,
        {"ReferencedSOPClassUID": sop_class_uid, "ReferencedSOPInstanceUID": sop_instance_uid},
    )
    return item


def _contributing_equipment(identity: ResultIdentity, at: datetime) -> Dataset:
    item = Dataset()
    put(
        item,
        {
            "Manufacturer": MANUFACTURER,
            "ManufacturerModelName": identity.model_name,
            "DeviceUID": identity.device_uid,
            "SoftwareVersions": [identity.software_version, identity.model_version],
            "ContributionDateTime": f"{at:%Y%m%d%H%M%S}",
            "ContributionDescription": "AI result, not for primary diagnosis",
            "PurposeOfReferenceCodeSequence": [code_item("109102", "DCM", "Processing Equipment")],
        },
    )
    return item
