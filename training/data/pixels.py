"""How a labelled radiograph's pixels are read: as screening reads them."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import numpy as np

from dicom_node.errors import DicomNodeError
from dicom_node.image_file import read_image_file
from dicom_node.radiograph import PixelLimits, Radiograph, read_radiographs
from models.prediction import FloatArray
from training.errors import DataError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
"""A file with another suffix, or none, is read as DICOM."""


class DicomReader(Protocol):
    """`dicom_node.radiograph.read_radiographs`, or the same in a child process."""

    def __call__(
        self, path: Path, *, limits: PixelLimits, scope: Collection[str] | None
    ) -> list[Radiograph]:
        """Every frame of one instance."""
        ...


def is_picture(path: Path) -> bool:
    """Whether `path` is named as an ordinary picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_pixels(path: Path, read_dicom: DicomReader = read_radiographs) -> FloatArray:
    """float32 (rows, columns) in [0, 1], bone bright, of a picture or of a CR or DX instance.

    A picture's value is its grey value / 255, or / 65535 where it has 16 bits.

    Raises:
        DataError: neither, or an instance of several frames.
    """
    try:
        return _picture(path) if is_picture(path) else _instance(path, read_dicom)
    except DicomNodeError as error:
        # Its messages hold no patient data.
        raise DataError(
            f"cannot read {path}: {error}; remove it from the table or mend it"
        ) from error


def _picture(path: Path) -> FloatArray:
    grey = read_image_file(path)
    return np.asarray(grey, np.float32) / np.float32(np.iinfo(grey.dtype).max)


def _instance(path: Path, read_dicom: DicomReader) -> FloatArray:
    radiographs = read_dicom(path, limits=PixelLimits(), scope=None)
    if len(radiographs) != 1:
        raise DataError(
            f"cannot read {path}: it has {len(radiographs)} frames, and a label is of one; remove "
            "it from the table or split it"
        )
    return radiographs[0].pixels
