"""Random geometry for training, after paper A: flips, rotation ≤ 20°, shear, zoom."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Each drawn uniformly from ± its bound; flips happen with probability one half."""

    rotation_degrees: float = 20.0
    shear_degrees: float = 8.0
    zoom: float = 0.15
    horizontal_flip: bool = True
    vertical_flip: bool = True

    def apply(self, square: FloatArray, random: np.random.Generator) -> FloatArray:
        """One random affine map about the centre of a (size, size) picture, border 0."""
        size = square.shape[0]
        centre = np.array([(size - 1) / 2, (size - 1) / 2])
        linear = self._linear_map(random)
        matrix = np.hstack([linear, (centre - linear @ centre)[:, np.newaxis]])
        warped = cv2.warpAffine(square, matrix, (size, size), flags=cv2.INTER_LINEAR)
        return np.asarray(warped, np.float32)

    def _linear_map(self, random: np.random.Generator) -> npt.NDArray[np.float64]:
        angle = np.deg2rad(random.uniform(-self.rotation_degrees, self.rotation_degrees))
        shear = np.tan(np.deg2rad(random.uniform(-self.shear_degrees, self.shear_degrees)))
        scale = random.uniform(1 - self.zoom, 1 + self.zoom, size=2)
        flips = [
            -1.0 if allowed and random.random() < 0.5 else 1.0
            for allowed in (self.horizontal_flip, self.vertical_flip)
        ]
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear: npt.NDArray[np.float64] = (
            rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(scale * np.array(flips))
        )
        return linear
