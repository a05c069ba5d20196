"""The one way from a radiograph to a network's input, shared by training and serving.

The radiograph or what it shows (`framing`), aspect-keeping letterbox, percentile stretch, three
channels in the range that the backbone's weights were made for. Nothing else may prepare pixels for
a network: a second way would let training and serving drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from models.framing import Frame, content_frame
from models.prediction import FloatArray

Shape = tuple[int, int]
"""Rows, columns."""


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


class Framing(StrEnum):
    """Which part of a radiograph a network sees."""

    WHOLE = "whole"
    CONTENT = "content"
    """What shows edges (`framing.content_frame`); where the input is higher than wide, turned by a
    quarter if it lies. Such a network must know limbs from all sides."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Settings that travel in the bundle. Percentiles are of the letterboxed content's pixels."""

    input_size: int = 224
    """Rows of the input."""
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    normalization: Normalization = Normalization.SYMMETRIC
    input_columns: int = 0
    """Of the input; 0: as many as rows."""
    framing: Framing = Framing.WHOLE

    def __post_init__(self) -> None:
        if self.normalization not in _SCALE_AND_OFFSET:
            raise ValueError(
                f"unknown normalization {self.normalization!r}; this version knows "
                f"{', '.join(_SCALE_AND_OFFSET)}"
            )
        if self.framing not in set(Framing):
            raise ValueError(
                f"unknown framing {self.framing!r}; this version knows {', '.join(Framing)}"
            )

    @property
    def shape(self) -> Shape:
        """Rows and columns of the input."""
        return self.input_size, self.input_columns or self.input_size


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a frame of a radiograph lies inside the input, in input pixels."""

    top: int
    left: int
    rows: int
    columns: int
    frame: Frame

    @classmethod
    def fit(cls, frame: Frame, shape: Shape) -> "Letterbox":
        """The largest centred rectangle of the frame's aspect inside an input of `shape`."""
        rows, columns = frame.shape
        scale = min(shape[0] / rows, shape[1] / columns)
        fitted = max(1, round(rows * scale)), max(1, round(columns * scale))
        return cls((shape[0] - fitted[0]) // 2, (shape[1] - fitted[1]) // 2, *fitted, frame)

    def crop(self, square: FloatArray) -> FloatArray:
        """The part of an array of the input's (rows, columns, …) that the frame covers."""
        return square[self.top : self.top + self.rows, self.left : self.left + self.columns]


def letterbox_of(
    pixels: FloatArray, preprocessing: Preprocessing, shape: Shape | None = None
) -> Letterbox:
    """Where `letterbox` puts a radiograph (rows, columns)."""
    shape = shape or preprocessing.shape
    if preprocessing.framing == Framing.WHOLE:
        return Letterbox.fit(Frame.whole(*pixels.shape), shape)
    frame = content_frame(pixels)
    lies = shape[0] > shape[1] and frame.columns > frame.rows
    return Letterbox.fit(replace(frame, turned=lies), shape)


def letterbox(
    pixels: FloatArray,
    preprocessing: Preprocessing,
    shape: Shape | None = None,
    *,
    quarter_turn: bool = False,
) -> tuple[FloatArray, Letterbox]:
    """Contrast-stretched, letterboxed grey picture: a "square", although some are higher than wide.

    Args:
        pixels: float32 (rows, columns) in [0, 1], bone bright.
        shape: of the result; `preprocessing.shape` if None (training caches a larger one).
        quarter_turn: the radiograph lies on its side, to be turned; the box knows it, so that a
            saliency map comes out as the radiograph came in.

    Returns:
        float32 of that shape in [0, 1], border 0; and where the radiograph lies in it.
    """
    box = letterbox_of(pixels, preprocessing, shape)
    if quarter_turn:
        turned = replace(box.frame, turned=not box.frame.turned)
        box = Letterbox.fit(turned, shape or preprocessing.shape)
    part = box.frame.cut(pixels)
    shrinks = part.shape[0] > box.rows or part.shape[1] > box.columns
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    content = cv2.resize(part, (box.columns, box.rows), interpolation=interpolation)
    square = np.zeros(shape or preprocessing.shape, np.float32)
    box.crop(square)[:] = _stretch(content.astype(np.float32), preprocessing)
    return square, box


def shows_nothing(pixels: FloatArray, preprocessing: Preprocessing) -> bool:
    """Whether a radiograph (rows, columns) is one shade, so that the network would see zeros."""
    sample = pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)]
    low, high = np.percentile(sample, (preprocessing.low_percentile, preprocessing.high_percentile))
    return bool(high <= low)


def to_network_input(
    square: FloatArray, normalization: Normalization = Normalization.SYMMETRIC
) -> FloatArray:
    """Grey (…, rows, columns) in [0, 1] to the backbone's input (…, rows, columns, 3)."""
    scale, offset = _SCALE_AND_OFFSET[normalization]
    channels = np.empty((*square.shape, 3), np.float32)
    for channel in range(3):
        # By channel: NumPy is several times slower over a last axis of three.
        channels[..., channel] = square * np.float32(scale[channel]) + np.float32(offset[channel])
    return channels


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
