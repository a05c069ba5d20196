"""What a fracture map learns: boxes drawn into its cells, and the loss on them."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.framing import Frame
from models.prediction import FloatArray
from models.preprocessing import Letterbox, Shape
from training.augmentation import Drawn
from training.data.example import Box

FOCUS = 2.0
"""How much cells that are nearly right count less (γ of Lin et al. 2017, eq. 5)."""
FRACTURE_SHARE = 0.75
"""Weight of cells with a fracture, the others have the rest (α of the same)."""
FEWEST_CELLS = 4.0
"""Added to the cells with fractures that the loss is divided by: batches may have none."""

_CORNERS = 24
"""Of the polygon that stands for an ellipse."""


def boxes_in_square(boxes: Sequence[Box], fit: Letterbox) -> list[Box]:
    """Boxes of a radiograph in pixels of its letterboxed square."""
    rows, columns = fit.frame.shape
    across, down = fit.columns / columns, fit.rows / rows
    return [
        Box(
            fit.left + box.x * across, fit.top + box.y * down, box.width * across, box.height * down
        )
        for box in (_in_frame(one, fit.frame) for one in boxes)
    ]


def _in_frame(box: Box, frame: Frame) -> Box:
    x, y = box.x - frame.left, box.y - frame.top
    if not frame.turned:
        return Box(x, y, box.width, box.height)
    return Box(y, frame.columns - (x + box.width), box.height, box.width)


def fracture_cells(boxes: Sequence[Box], drawn: Drawn, cells: Shape) -> FloatArray:
    """Of shape `cells`, in [0, 1]: 1 where half of a cell or more lies in an ellipse within a box.

    The corners of a box hold no fracture, mostly. `boxes` are in pixels of the square that `drawn`
    augments; what it moves out of the picture is left out.
    """
    marked = np.zeros(drawn.shape, np.float32)
    for box in boxes:
        cv2.fillPoly(marked, [_moved_ellipse(box, drawn)], 1.0)
    shares = cv2.resize(marked, cells[::-1], interpolation=cv2.INTER_AREA)
    doubled: FloatArray = np.clip(2.0 * shares, 0.0, 1.0).astype(np.float32)
    return doubled


def focal_loss(targets: Any, logits: Any) -> Any:  # Any: tensors of the backend at hand
    """Focal loss of the cells, (n): its mean is their sum over the batch by its fracture cells.

    Args:
        targets: (n, h, w, 1) in [0, 1].
        logits: (n, h, w, 1).
    """
    from keras import ops

    probabilities = ops.sigmoid(logits)
    # −[t log p + (1 − t) log(1 − p)], without ever computing log 0.
    cross_entropy = ops.softplus(logits) - targets * logits
    focus = ops.abs(targets - probabilities) ** FOCUS
    weights = FRACTURE_SHARE * targets + (1.0 - FRACTURE_SHARE) * (1.0 - targets)
    of_pictures = ops.sum(focus * weights * cross_entropy, axis=(1, 2, 3))
    pictures = ops.cast(ops.shape(of_pictures)[0], of_pictures.dtype)
    return of_pictures * pictures / (ops.sum(targets) + FEWEST_CELLS)


def _moved_ellipse(box: Box, drawn: Drawn) -> npt.NDArray[np.int32]:
    """Corners (n, 2) in whole pixels of the result, (x, y)."""
    angles = np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)
    across = box.x + box.width * (0.5 + 0.5 * np.cos(angles))
    down = box.y + box.height * (0.5 + 0.5 * np.sin(angles))
    moved = drawn.matrix @ np.stack([across, down, np.ones_like(angles)])
    return np.rint(moved.T).astype(np.int32)
