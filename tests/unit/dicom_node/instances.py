"""Numbered factories for small DICOM instances; nothing real in them."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from dicom_node.result_identity import ResultIdentity
from dicom_node.uids import derived_uid

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TRUNCATED_TAIL = 100


def radiograph_dataset(number: int = 1, *, rows: int = 24, columns: int = 16) -> Dataset:
    """A CR instance with a gradient of 12 bits; `number` tells instances of a study apart."""
    dataset = Dataset()
    dataset.SOPClassUID = uid.ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = derived_uid("test instance", str(number))
    dataset.StudyInstanceUID = derived_uid("test study")
    dataset.SeriesInstanceUID = derived_uid("test series")
    dataset.StudyDate, dataset.StudyTime = "20260304", "050607"
    dataset.AccessionNumber = dataset.StudyID = "A1"
    dataset.ReferringPhysicianName = ""
    dataset.PatientName, dataset.PatientID = "Phantom^Test", "PHANTOM"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.Modality, dataset.BodyPartExamined = "CR", "HAND"
    dataset.Laterality, dataset.ViewPosition = "R", "AP"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    put_pixels(dataset, gradient(rows, columns))
    return dataset


def gradient(rows: int = 24, columns: int = 16) -> np.ndarray:
    """uint16 values that rise from 0 to 4095."""
    return np.linspace(0, 4095, rows * columns).astype(np.uint16).reshape(rows, columns)


def put_pixels(dataset: Dataset, pixels: np.ndarray, *, bits_stored: int = 12) -> None:
    """Set the image pixel module, monochrome, signed where the array is."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored = 8 * pixels.itemsize, bits_stored
    dataset.HighBit, dataset.PixelRepresentation = bits_stored - 1, int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.PixelData = pixels.tobytes()


def write_instance(
    dataset: Dataset, path: Path, transfer_syntax: str = uid.ExplicitVRLittleEndian
) -> Path:
    """Write a DICOM file with file meta information; returns `path`."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(transfer_syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def encoded(dataset: Dataset, *, implicit_vr: bool = False) -> bytes:
    """The data set alone, little endian."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=implicit_vr, little_endian=True)
    return buffer.getvalue()


def result_identity(kind: str = "overlay", number: int = 1) -> ResultIdentity:
    """An identity with UIDs of its own per `kind` and `number`."""
    return ResultIdentity(
        series_instance_uid=derived_uid("test result series", kind),
        sop_instance_uid=derived_uid("test result", kind, str(number)),
        series_number=7701,
        instance_number=number,
        series_description="AI result, not for primary diagnosis",
        model_name="phantom",
        model_version="1.0",
        device_uid=derived_uid("test device"),
        software_version="0.1.0",
    )
