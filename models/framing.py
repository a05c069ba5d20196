"""Which part of a radiograph a network sees, and which way up. Arrays in, numbers out.

Most radiographs of limbs are narrow limbs on a wide plate: the network's pixels are better spent on
the limb. What is cut away holds no edges, or only those of the plate.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray

MARGIN = 0.04
"""Of the longer side, left around what shows edges."""

_SIDE = 256
"""Longer side of the small copy in which edges are looked for."""
_BORDER = 0.04
"""Of each side: where the plate ends, edges say nothing."""
_STRIP = 0.12
"""Of each side: where a thin thing along the border is the plate's."""
_LEAST_EDGE = 0.015
"""Change of grey per pixel of the small copy, of its range from 1st to 99th percentile."""
_LEAST_SHARE_OF_EDGES = 0.15
"""Of the 99th percentile of edges: above the noise and the stripes of a plate."""
_SMALL_AREA, _SMALL_EXTENT = 0.001, 0.06
"""Of the picture's area, of its longer side: what is smaller in both is a speck."""
_FEWEST = 2
"""Pixels of edges in a row or column that count."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Part of a radiograph of `of_rows` × `of_columns`, in its pixels."""

    top: int
    left: int
    rows: int
    columns: int
    of_rows: int
    of_columns: int
    turned: bool = False
    """By a quarter, anticlockwise: what lies then stands."""

    @classmethod
    def whole(cls, rows: int, columns: int) -> "Frame":
        """All of it, as it is."""
        return cls(0, 0, rows, columns, rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Of what `cut` gives."""
        return (self.columns, self.rows) if self.turned else (self.rows, self.columns)

    def cut(self, pixels: FloatArray) -> FloatArray:
        """The part of the radiograph's pixels, of `shape`."""
        part = pixels[self.top : self.top + self.rows, self.left : self.left + self.columns]
        return np.ascontiguousarray(np.rot90(part)) if self.turned else part

    def spread(self, values: FloatArray) -> FloatArray:
        """Values on a grid over the part → on a grid as fine over all of it, 0 elsewhere."""
        part = np.rot90(values, -1) if self.turned else values
        down, across = part.shape[0] / self.rows, part.shape[1] / self.columns
        spread = np.zeros(
            (
                max(part.shape[0], round(self.of_rows * down)),
                max(part.shape[1], round(self.of_columns * across)),
            ),
            values.dtype,
        )
        top = min(round(self.top * down), spread.shape[0] - part.shape[0])
        left = min(round(self.left * across), spread.shape[1] - part.shape[1])
        spread[top : top + part.shape[0], left : left + part.shape[1]] = part
        return spread


def content_frame(pixels: FloatArray) -> Frame:
    """Where a radiograph (rows, columns) shows anything; all of it where that can't be told."""
    rows, columns = pixels.shape
    scale = _SIDE / max(rows, columns)
    size = max(8, round(columns * scale)), max(8, round(rows * scale))
    found = _edges(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32))
    if not found.any():
        return Frame.whole(rows, columns)
    margin = MARGIN * max(found.shape)
    down = _extent(found, margin)
    across = _extent(found.T, margin)
    top, bottom = math.floor(down[0] * rows), math.ceil(down[1] * rows)
    left, right = math.floor(across[0] * columns), math.ceil(across[1] * columns)
    return Frame(top, left, bottom - top, right - left, rows, columns)


def _edges(small: FloatArray) -> npt.NDArray[np.bool_]:
    """Where there are edges that are neither noise nor the plate's."""
    low, high = np.percentile(small, (1, 99))
    grey = np.clip((small - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.5), np.float32)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, scale=0.125) for order in ((1, 0), (0, 1))
    )
    change = np.hypot(across, down)
    least = max(_LEAST_EDGE, _LEAST_SHARE_OF_EDGES * float(np.percentile(change, 99)))
    mask = (change > least).astype(np.uint8)
    rows, columns = mask.shape
    border_rows, border_columns = round(_BORDER * rows), round(_BORDER * columns)
    inner = np.zeros_like(mask)
    inside = np.s_[border_rows : rows - border_rows, border_columns : columns - border_columns]
    inner[inside] = mask[inside]
    count, labels, found, _ = cv2.connectedComponentsWithStats(inner, connectivity=8)
    kept = [False] + [_is_content(found[one], rows, columns) for one in range(1, count)]
    return np.asarray(np.array(kept)[labels])


def _is_content(found: npt.NDArray[np.int32], rows: int, columns: int) -> bool:
    """Of one connected piece of edges: not a speck, not a strip along the plate's border."""
    left, top, width, height, area = (int(value) for value in found)
    is_speck = area < _SMALL_AREA * rows * columns and max(width, height) < _SMALL_EXTENT * max(
        rows, columns
    )
    stands = width <= _SMALL_EXTENT * columns and (
        left + width < _STRIP * columns or left > (1 - _STRIP) * columns
    )
    lies = height <= _SMALL_EXTENT * rows and (
        top + height < _STRIP * rows or top > (1 - _STRIP) * rows
    )
    return not (is_speck or lies or stands)


def _extent(found: npt.NDArray[np.bool_], margin: float) -> tuple[float, float]:
    """First and last row with edges, as shares of the height, a margin added.

    The outermost columns don't count where others show anything: strips along them reach far. What
    comes up to the border goes on beyond it.
    """
    rows, columns = found.shape
    edge = 2 * round(_BORDER * columns)
    inner = found[:, edge : columns - edge]
    counted = (inner if inner.any() else found).sum(axis=1)
    places = np.flatnonzero(counted >= _FEWEST)
    if not len(places):
        return 0.0, 1.0
    border = round(_BORDER * rows)
    first = 0 if places[0] <= border + 1 else int(places[0])
    last = rows - 1 if places[-1] >= rows - border - 2 else int(places[-1])
    return max(0.0, (first - margin) / rows), min(1.0, (last + 1 + margin) / rows)
