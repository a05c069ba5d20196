"""Builds Secondary Capture results: a rendered overlay beside the radiograph, never over it.

Rendering is not done here, nor are UIDs made.
"""

import re
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.multival import MultiValue

from dicom_node.body_parts import UNPAIRED
from dicom_node.legal_values import is_code_string, legal_element
from dicom_node.patient_study import in_study_time
from dicom_node.result_identity import ResultIdentity
from dicom_node.result_modules import code_item, put, reference_item, start_result

_WORKSTATION = "WSD"
_DIRECTION = re.compile("[AP]?[RL]?[HF]?|[RLAPHF]{1,3}")
"""Of Patient Orientation, of bipeds (PS3.3 C.7.6.1.1.1)."""


def build_secondary_capture(
    reference: Dataset,
    rgb: NDArray[np.uint8],
    *,
    identity: ResultIdentity,
    derivation_description: str,
    now: datetime,
    source_frame_number: int | None = None,
) -> Dataset:
    """A Secondary Capture Image (PS3.3 A.8.1) that shows `rgb`, uint8 (rows, columns, 3).

    `reference` is the header of the source radiograph, `source_frame_number` counts from 1 and is
    None for a single-frame source. `derivation_description` is ASCII, at most 1024 characters. The
    picture is taken to say "AI result, not for primary diagnosis" in its pixels, and not to keep
    the radiograph's geometry. The same arguments give the same data set. Raises ValueError for
    another shape or type of `rgb`.
    """
    _require_rgb(rgb)
    at = in_study_time(reference, now)
    result = start_result(
        reference, uid.SecondaryCaptureImageStorage, modality="OT", identity=identity, at=at
    )
    put(result, _body_part(reference))
    put(
        result,
        {
            # SC Equipment, C.8.6.1: made by software on a workstation, not captured or scanned
            "ConversionType": _WORKSTATION,
            # General Image, C.7.6.1
            "ImageType": ["DERIVED", "SECONDARY"],
            "PatientOrientation": _patient_orientation(reference),
            "DerivationDescription": derivation_description,
            "SourceImageSequence": [_source_image(reference, source_frame_number)],
            "BurnedInAnnotation": "YES",
            "ImageComments": "AI result, not for primary diagnosis",
            # SC Image, C.8.6.2
            "DateOfSecondaryCapture": f"{at:%Y%m%d}",
            "TimeOfSecondaryCapture": f"{at:%H%M%S}",
        },
    )
    put(result, _lossy_compression(reference))
    put(result, _image_pixel(rgb))
    result["PixelData"].VR = "OB"
    return result


def _require_rgb(rgb: NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"uint8 (rows, columns, 3) needed, not {rgb.dtype} {rgb.shape}")


def _body_part(reference: Dataset) -> dict[str, object]:
    """General Series, C.7.3.1.

    Laterality is 2C: absent for an unpaired body part, empty where the side is not known.
    """
    body_part = str(reference.get("BodyPartExamined") or "").strip()
    side = str(reference.get("ImageLaterality") or reference.get("Laterality") or "").strip()
    attributes: dict[str, object] = {}
    if is_code_string(body_part):
        attributes["BodyPartExamined"] = body_part
    if body_part not in UNPAIRED:
        attributes["Laterality"] = side if side in ("R", "L") else ""
    return attributes


def _patient_orientation(reference: Dataset) -> list[str] | None:
    orientation = reference.get("PatientOrientation")
    if not isinstance(orientation, MultiValue) or len(orientation) != 2:
        return None
    return list(orientation) if all(map(_DIRECTION.fullmatch, orientation)) else None


def _source_image(reference: Dataset, frame_number: int | None) -> Dataset:
    item = reference_item(reference.SOPClassUID, reference.SOPInstanceUID)
    purpose = code_item("121322", "DCM", "Source Image for Image Processing Operation")
    put(item, {"SpatialLocationsPreserved": "NO", "PurposeOfReferenceCodeSequence": [purpose]})
    if frame_number is not None:
        item.ReferencedFrameNumber = frame_number
    return item


def _lossy_compression(reference: Dataset) -> dict[str, object]:
    """General Image, C.7.6.1.1.5: what was lossy once stays declared so."""
    if reference.get("LossyImageCompression") != "01":
        return {"LossyImageCompression": "00"}
    keywords = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
    stated = {
        keyword: reference[keyword].value
        for keyword in keywords
        if reference.get(keyword) and legal_element(reference[keyword]) is not None
    }
    return {"LossyImageCompression": "01", **stated}


def _image_pixel(rgb: NDArray[np.uint8]) -> dict[str, object]:
    """Image Pixel, C.7.6.3."""
    rows, columns, samples = rgb.shape
    pixels = rgb.tobytes()
    return {
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": pixels + b"\0" * (len(pixels) % 2),
    }
