"""The one way from a radiograph to a network's input, shared by training and serving.

Percentile stretch, aspect-keeping letterbox, three channels in the range that the backbone's
weights were made for. Nothing else may prepare pixels for a network: a second way would let
training and serving drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from models.prediction import FloatArray


class Normalization(StrEnum):
    """How grey in [0, 1] becomes a network's three channels."""

    SYMMETRIC = "symmetric"
    """[-1, 1]: Google's MobileNetV2 and ResNet V2 (`x / 127.5 − 1`)."""
    ZERO_TO_ONE = "zero_to_one"
    """[0, 1]: paper A."""
    IMAGENET = "imagenet"
    """ImageNet's mean and standard deviation taken out, red first: paper B."""
    CAFFE = "caffe"
    """[0, 255] less ImageNet's mean, blue first: the public Keras weights of ResNet V1."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Settings that travel in the bundle. Percentiles are of the letterboxed content's pixels."""

    input_size: int = 224
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    normalization: Normalization = Normalization.SYMMETRIC

    def __post_init__(self) -> None:
        if self.normalization not in _SCALE_AND_OFFSET:
            raise ValueError(
                f"unknown normalization {self.normalization!r}; this version knows "
                f"{', '.join(_SCALE_AND_OFFSET)}"
            )


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where the radiograph lies inside the square input, in input pixels."""

    top: int
    left: int
    rows: int
    columns: int

    @classmethod
    def fit(cls, rows: int, columns: int, size: int) -> "Letterbox":
        """The largest centred rectangle of the same aspect inside `size` × `size`."""
        scale = size / max(rows, columns)
        fitted_rows, fitted_columns = max(1, round(rows * scale)), max(1, round(columns * scale))
        return cls(
            (size - fitted_rows) // 2, (size - fitted_columns) // 2, fitted_rows, fitted_columns
        )

    def crop(self, square: FloatArray) -> FloatArray:
        """The part of a (size, size, …) array that the radiograph covers."""
        return square[self.top : self.top + self.rows, self.left : self.left + self.columns]


def letterbox(
    pixels: FloatArray, preprocessing: Preprocessing, size: int | None = None
) -> tuple[FloatArray, Letterbox]:
    """Contrast-stretched, letterboxed grey square.

    Args:
        pixels: float32 (rows, columns) in [0, 1], bone bright.
        size: side of the square; `preprocessing.input_size` if None (training caches a larger one).

    Returns:
        float32 (size, size) in [0, 1], border 0; and where the radiograph lies in it.
    """
    size = size or preprocessing.input_size
    box = Letterbox.fit(pixels.shape[0], pixels.shape[1], size)
    interpolation = cv2.INTER_AREA if max(pixels.shape) > size else cv2.INTER_LINEAR
    content = cv2.resize(pixels, (box.columns, box.rows), interpolation=interpolation)
    square = np.zeros((size, size), np.float32)
    square[box.top : box.top + box.rows, box.left : box.left + box.columns] = _stretch(
        content.astype(np.float32), preprocessing
    )
    return square, box


def shows_nothing(pixels: FloatArray, preprocessing: Preprocessing) -> bool:
    """Whether a radiograph (rows, columns) is one shade, so that the network would see zeros."""
    sample = pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)]
    low, high = np.percentile(sample, (preprocessing.low_percentile, preprocessing.high_percentile))
    return bool(high <= low)


def to_network_input(
    square: FloatArray, normalization: Normalization = Normalization.SYMMETRIC
) -> FloatArray:
    """Grey (…, size, size) in [0, 1] to the backbone's input (…, size, size, 3)."""
    scale, offset = _SCALE_AND_OFFSET[normalization]
    return square[..., np.newaxis] * np.array(scale, np.float32) + np.array(offset, np.float32)


def _stretch(content: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Map the percentile range to [0, 1]: 8-bit pictures and windowed 16-bit CR meet here."""
    low, high = np.percentile(
        content, (preprocessing.low_percentile, preprocessing.high_percentile)
    )
    if high <= low:
        return np.zeros_like(content)
    stretched: FloatArray = np.clip((content - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return stretched


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, red, green, blue, of values in [0, 1]."""
_BLUE_FIRST_MEAN = (103.939, 116.779, 123.68)

_Channels = tuple[float, float, float]
_SCALE_AND_OFFSET: Mapping[str, tuple[_Channels, _Channels]] = {
    Normalization.SYMMETRIC: ((2.0, 2.0, 2.0), (-1.0, -1.0, -1.0)),
    Normalization.ZERO_TO_ONE: ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    Normalization.IMAGENET: (
        (1 / _DEVIATION[0], 1 / _DEVIATION[1], 1 / _DEVIATION[2]),
        (-_MEAN[0] / _DEVIATION[0], -_MEAN[1] / _DEVIATION[1], -_MEAN[2] / _DEVIATION[2]),
    ),
    Normalization.CAFFE: (
        (255.0, 255.0, 255.0),
        (-_BLUE_FIRST_MEAN[0], -_BLUE_FIRST_MEAN[1], -_BLUE_FIRST_MEAN[2]),
    ),
}
