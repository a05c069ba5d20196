"""Ordinary pictures (PNG, JPEG, TIFF, ...): read as grey values, and wrapped as synthetic DX.

For screening a folder of pictures and for tests; a wrapped picture says in its header that it is
one.
"""

from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid

from dicom_node.body_parts import ANATOMIC_REGIONS
from dicom_node.errors import UnreadableInstance
from dicom_node.result_modules import code_item, put

GreyPixels = NDArray[np.uint8] | NDArray[np.uint16]

_PLACEHOLDER_SPACING_MM = 1.0
_PLACEHOLDER_ORIENTATION = ["L", "F"]


def read_image_file(path: Path) -> GreyPixels:
    """Grey values, uint8 or uint16 (rows, columns), EXIF rotation applied, colour turned to grey.

    Raises UnreadableInstance when the file cannot be read or is no 8 or 16 bit picture.
    """
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except OSError as error:
        raise UnreadableInstance(f"cannot read {path.name}: {error.strerror or error}") from error
    except cv2.error as error:
        raise UnreadableInstance(f"{path.name} is not a picture that can be decoded") from error
    if pixels is None:
        raise UnreadableInstance(f"{path.name} is not a picture that can be decoded")
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint16, copy=False)
    raise UnreadableInstance(f"{path.name} holds {pixels.dtype} values; 8 or 16 bit are needed")


def wrap_as_dx(
    pixels: GreyPixels,
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    sop_instance_uid: str,
    patient_id: str,
    patient_name: str,
    now: datetime,
    body_part_examined: str = "",
    synthetic_note: str,
) -> Dataset:
    """A synthetic DX image for presentation (PS3.3 A.26) from grey values, bone bright.

    `pixels` are uint8 or uint16 (rows, columns); white is the type's largest value.
    `body_part_examined` is a term of PS3.16 Annex L. `synthetic_note` goes into Image Comments,
    after the words that this is a wrapped picture. DX demands what a picture doesn't tell:
    Imager Pixel Spacing is a placeholder of 1 mm and Patient Orientation one of L\\F.
    UIDs: `uids.picture_uids`. Raises ValueError for another shape or type of `pixels`.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"uint8 or uint16 (rows, columns) needed, not {pixels.dtype}")
    date, time = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset = Dataset()
    put(
        dataset,
        {
            # SOP Common, C.12.1
            "SpecificCharacterSet": "ISO_IR 192",
            "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
            "SOPInstanceUID": sop_instance_uid,
            # Patient, C.7.1.1
            "PatientName": patient_name,
            "PatientID": patient_id,
            "PatientBirthDate": "",
            "PatientSex": "",
            # General Study, C.7.2.1
            "StudyInstanceUID": study_instance_uid,
            "StudyDate": date,
            "StudyTime": time,
            "ReferringPhysicianName": "",
            "StudyID": "",
            "AccessionNumber": "",
            # General Series, C.7.3.1, and DX Series, C.8.11.1
            "Modality": "DX",
            "PresentationIntentType": "FOR PRESENTATION",
            "SeriesInstanceUID": series_instance_uid,
            "SeriesNumber": 1,
            "SeriesDescription": "Wrapped picture (synthetic DX)",
            # General Equipment, C.7.5.1
            "Manufacturer": "",
            # General Image, C.7.6.1
            "InstanceNumber": 1,
            "ImageType": ["DERIVED", "PRIMARY"],
            "ContentDate": date,
            "ContentTime": time,
            "AcquisitionDate": date,
            "AcquisitionTime": time,
            "ImageComments": f"Wrapped picture, synthetic DX. {synthetic_note}",
        },
    )
    put(dataset, _dx_modules(body_part_examined))
    put(dataset, _image_pixel(pixels))
    return dataset


def _dx_modules(body_part_examined: str) -> dict[str, object]:
    attributes: dict[str, object] = {
        # DX Anatomy Imaged, C.8.11.2
        "ImageLaterality": "U",
        "AnatomicRegionSequence": _anatomic_region(body_part_examined),
        # DX Image, C.8.11.3
        "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "LossyImageCompression": "01",
        "DerivationDescription": "Picture file wrapped as DICOM",
        "BurnedInAnnotation": "NO",
        "PatientOrientation": _PLACEHOLDER_ORIENTATION,
        # DX Detector, C.8.11.4
        "DetectorType": None,
        "ImagerPixelSpacing": [_PLACEHOLDER_SPACING_MM, _PLACEHOLDER_SPACING_MM],
        # DX Positioning, C.8.11.5
        "PositionerType": None,
        # Acquisition Context, C.7.6.14
        "AcquisitionContextSequence": None,
    }
    if body_part_examined:
        attributes["BodyPartExamined"] = body_part_examined
    return attributes


def _anatomic_region(body_part_examined: str) -> list[Dataset] | None:
    region = ANATOMIC_REGIONS.get(body_part_examined)
    return None if region is None else [code_item(region[0], "SCT", region[1])]


def _image_pixel(pixels: GreyPixels) -> dict[str, object]:
    """Image Pixel, C.7.6.3, and a VOI LUT, C.11.2, that shows value / largest value exactly."""
    bits = 8 * pixels.itemsize
    white = 2**bits - 1
    encoded = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "WindowCenter": white / 2,
        "WindowWidth": white,
        "VOILUTFunction": "LINEAR_EXACT",
        "PixelData": encoded + b"\0" * (len(encoded) % 2),
    }
