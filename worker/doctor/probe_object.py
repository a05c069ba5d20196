"""Test objects: synthetic, marked as such wherever a viewer looks, and known as ours.

What a PACS sends back of them is a result of ours to the listener: it keeps and screens nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset

from dicom_node.image_file import wrap_as_dx
from dicom_node.result_file import MANUFACTURER, write_result
from dicom_node.result_identity import RESULT_SERIES_NUMBERS, ResultIdentity
from dicom_node.secondary_capture import build_secondary_capture
from dicom_node.uids import derived_uid, device_uid
from worker.phantom import draw_phantom

PATIENT_NAME, PATIENT_ID = "Test^Fracture Screen Doctor", "FRACTURE-SCREEN-TEST"
NOTE = "TEST OBJECT of fracture-screen doctor: synthetic, no patient, may be deleted"


@dataclass(frozen=True, slots=True)
class ProbeObject:
    """A test object on disk and its UIDs."""

    path: Path
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def write_probe_radiograph(
    folder: Path, ae_title: str, now: datetime, *, ours: bool = True
) -> ProbeObject:
    """A phantom as DX. Each moment gives a new instance of one study per AE title.

    Not `ours`, it would be screened like any other: for our own reader alone, never to be sent.
    """
    dataset = _radiograph(ae_title, now)
    if not ours:
        dataset.Manufacturer = ""
    return _written(dataset, folder)


def write_probe_result(folder: Path, ae_title: str, now: datetime) -> ProbeObject:
    """A Secondary Capture as results are, for destinations, in the same study."""
    reference = _radiograph(ae_title, now)
    result = build_secondary_capture(
        reference,
        _picture(),
        identity=_identity(ae_title, now),
        derivation_description=NOTE,
        now=now,
    )
    result.ImageComments = NOTE
    return _written(result, folder)


def _radiograph(ae_title: str, now: datetime) -> Dataset:
    dataset = wrap_as_dx(
        draw_phantom(1, fractured=False, rows=256, columns=208),
        study_instance_uid=derived_uid("doctor study", ae_title),
        series_instance_uid=derived_uid("doctor radiographs", ae_title),
        sop_instance_uid=derived_uid("doctor radiograph", ae_title, now.isoformat()),
        patient_id=PATIENT_ID,
        patient_name=PATIENT_NAME,
        now=now,
        body_part_examined="HAND",
        synthetic_note=NOTE,
    )
    dataset.Manufacturer = MANUFACTURER
    dataset.StudyDescription = dataset.SeriesDescription = "TEST OBJECT, SYNTHETIC"
    # Of one study there is one date: that of the first object is not known here.
    dataset.StudyDate = dataset.StudyTime = ""
    return dataset


def _identity(ae_title: str, now: datetime) -> ResultIdentity:
    return ResultIdentity(
        series_instance_uid=derived_uid("doctor results", ae_title),
        sop_instance_uid=derived_uid("doctor result", ae_title, now.isoformat()),
        series_number=RESULT_SERIES_NUMBERS["secondary_capture"],
        instance_number=1,
        series_description="TEST OBJECT, SYNTHETIC",
        model_name="none",
        model_version="0",
        device_uid=device_uid("none"),
        software_version=version("fracture-screen"),
    )


def _picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rgb = np.zeros((160, 640, 3), np.uint8)
    for line, text in enumerate(("TEST OBJECT", "synthetic, no patient", "may be deleted")):
        place = (20, 45 + 45 * line)
        cv2.putText(rgb, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2)
    return rgb


def _written(dataset: Dataset, folder: Path) -> ProbeObject:
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    write_result(dataset, path)
    return ProbeObject(
        path,
        str(dataset.SOPClassUID),
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
    )
