"""Whether the model's answer hangs on what its saliency map marks: insertion and deletion curves.

Petsiuk et al. 2018 (RISE), section 4.3. Both start from or end in the radiograph blurred beyond
recognition of any fracture: blanking pixels would show the network edges it never saw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray

STEPS = 12
"""Parts that pixels are taken away in."""
BLUR = 0.06
"""Standard deviation of the blur as a share of the longest side."""

Probabilities = Callable[[Sequence[FloatArray]], npt.NDArray[np.float64]]
"""Radiographs, each (rows, columns) in [0, 1] → fracture probability of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Probabilities (STEPS + 1) as pixels go in or out in the map's order, most marked first."""

    insertion: npt.NDArray[np.float64]
    deletion: npt.NDArray[np.float64]

    @property
    def insertion_area(self) -> float:
        """Mean probability along the curve, 0 to 1; a good map's is high."""
        return _area(self.insertion)

    @property
    def deletion_area(self) -> float:
        """Likewise; a good map's is low."""
        return _area(self.deletion)


def curves(pixels: FloatArray, saliency: FloatArray, probabilities: Probabilities) -> Curves:
    """Both curves of one radiograph.

    Args:
        pixels: (rows, columns) in [0, 1].
        saliency: any grid over the whole radiograph; only the order of its values counts.
    """
    rows, columns = pixels.shape
    fine = cv2.resize(saliency, (columns, rows), interpolation=cv2.INTER_LINEAR)
    order = np.argsort(-fine, axis=None, kind="stable")
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), BLUR * max(rows, columns)), np.float32)
    inserted = [_mixed(blurred, pixels, order, step) for step in range(STEPS + 1)]
    deleted = [_mixed(pixels, blurred, order, step) for step in range(STEPS + 1)]
    answers = probabilities([*inserted, *deleted])
    return Curves(answers[: STEPS + 1], answers[STEPS + 1 :])


def random_order(shape: tuple[int, int], seed: int) -> FloatArray:
    """A map that knows nothing: smooth noise, as coarse as a saliency map, (rows, columns)."""
    noise = np.random.default_rng(seed).random((7, 7), np.float32)
    resized = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.float32)


def _mixed(
    start: FloatArray, end: FloatArray, order: npt.NDArray[np.int64], step: int
) -> FloatArray:
    """`start` with its first step / STEPS pixels in this order replaced by those of `end`."""
    chosen = order[: round(len(order) * step / STEPS)]
    mixed = start.copy()
    mixed.flat[chosen] = end.flat[chosen]
    return mixed


def _area(curve: npt.NDArray[np.float64]) -> float:
    return float(np.trapezoid(curve) / (len(curve) - 1))
