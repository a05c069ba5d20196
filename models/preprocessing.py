"""The one way from a radiograph to a network's input, shared by training and serving.

Percentile stretch, aspect-keeping letterbox, three equal channels in [-1, 1]. Nothing else may
prepare pixels for a network: a second way would let training and serving drift apart.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from models.prediction import FloatArray


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Settings that travel in the bundle. Percentiles are of the letterboxed content's pixels."""

    input_size: int = 224
    low_percentile: float = 1.0
    high_percentile: float = 99.0


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


def to_network_input(square: FloatArray) -> FloatArray:
    """Grey (…, size, size) in [0, 1] to the backbones' input (…, size, size, 3) in [-1, 1]."""
    return np.repeat(np.float32(2.0) * square[..., np.newaxis] - np.float32(1.0), 3, axis=-1)


def _stretch(content: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Map the percentile range to [0, 1]: 8-bit pictures and windowed 16-bit CR meet here."""
    low, high = np.percentile(
        content, (preprocessing.low_percentile, preprocessing.high_percentile)
    )
    if high <= low:
        return np.zeros_like(content)
    stretched: FloatArray = np.clip((content - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return stretched
