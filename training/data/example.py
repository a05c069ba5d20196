"""One labelled radiograph on disk, and how its pixels are read."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.prediction import FloatArray
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled radiograph.

    `groups` are the names of all that it must never be parted from by a split: its patient, its
    block of neighbouring ids, its duplicates.
    """

    path: Path
    fractured: bool
    groups: tuple[str, ...]
    region: str = ""
    hardware: bool = False


def read_pixels(path: Path) -> FloatArray:
    """float32 (rows, columns) in [0, 1], bone bright: an 8-bit picture's grey value / 255.

    Raises:
        DataError: not a picture that OpenCV reads.
    """
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DataError(f"cannot read {path} as a picture; remove it from the table or mend it")
    return np.asarray(grey, np.float32) / 255.0
