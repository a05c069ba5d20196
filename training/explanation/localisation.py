"""Whether a saliency map shows where the fracture is, by the boxes that readers drew."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray, SaliencyMap
from training.data.example import Box

IOU_THRESHOLD = 0.5
"""Of the map's maximum: where it is reached, the map counts as marked."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Localisation:
    """One map against the boxes of one radiograph; `box_share` and `centre_in_box` are what a map
    that knows nothing would get: a point drawn at random, the picture's centre."""

    peak_in_box: bool
    """The pointing game (Zhang et al. 2018), without any tolerance."""
    energy_in_box: float
    """Share of the map's sum inside the boxes, 0 to 1 (Wang et al. 2020); 0 of an empty map."""
    iou: float
    """Intersection over union of boxes and map ≥ `IOU_THRESHOLD` · maximum, 0 to 1."""
    box_share: float
    """Share of the radiograph's area in the boxes: a flat map's energy, a random peak's hits."""
    centre_in_box: bool


def localise(saliency: SaliencyMap, boxes: Sequence[Box], rows: int, columns: int) -> Localisation:
    """Measure a map of a radiograph of `rows` × `columns` pixels, in which the boxes are given.

    Raises:
        ValueError: there is no box.
    """
    if not boxes:
        raise ValueError("a map is measured against at least one box")
    peak_row, peak_column = saliency.peak(rows, columns)
    inside = box_coverage(boxes, rows, columns, saliency.values.shape)
    total = float(saliency.values.sum())
    return Localisation(
        peak_in_box=_any_holds(boxes, peak_row, peak_column),
        energy_in_box=float((saliency.values * inside).sum()) / total if total else 0.0,
        iou=_iou(saliency.values >= IOU_THRESHOLD, inside) if total else 0.0,
        box_share=float(inside.mean()),
        centre_in_box=_any_holds(boxes, rows // 2, columns // 2),
    )


def box_coverage(
    boxes: Sequence[Box], rows: int, columns: int, grid: tuple[int, ...]
) -> FloatArray:
    """Share of each cell of a `grid` (rows, columns) over the radiograph that boxes cover, 0 to 1.

    Boxes may be smaller than a cell. Where boxes overlap, the larger share counts.
    """
    covered = np.zeros(grid, np.float32)
    for box in boxes:
        down = _shares(box.y * grid[0] / rows, box.height * grid[0] / rows, grid[0])
        across = _shares(box.x * grid[1] / columns, box.width * grid[1] / columns, grid[1])
        covered = np.maximum(covered, np.outer(down, across))
    return covered


def _shares(start: float, length: float, cells: int) -> FloatArray:
    """How much of each unit cell [i, i + 1) lies in [start, start + length)."""
    edges = np.arange(cells)
    low, high = np.maximum(edges, start), np.minimum(edges + 1, start + length)
    shares: FloatArray = np.clip(high - low, 0.0, 1.0).astype(np.float32)
    return shares


def _any_holds(boxes: Sequence[Box], row: int, column: int) -> bool:
    """Whether the centre of a pixel lies in a box, borders included."""
    y, x = row + 0.5, column + 0.5
    return any(
        box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height for box in boxes
    )


def _iou(marked: Mask, inside: FloatArray) -> float:
    union = float(np.maximum(marked, inside).sum())
    return float(np.minimum(marked, inside).sum()) / union if union else 0.0
