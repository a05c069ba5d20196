"""Random geometry and grey values for training, after the papers.

Paper A: flips, rotation ≤ 20°, shear, zoom (the defaults). Paper B: rotation ≤ 15°, horizontal
flip, brightness and contrast ± 20 %, small zoom and translation.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray
from models.preprocessing import Shape

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One augmentation, drawn; `matrix` moves what is marked in a picture along with it."""

    matrix: Float64Array
    """(2, 3): pixel (x, y) of the picture → pixel of the result."""
    shape: Shape
    """Of the result."""
    gain: float = 1.0
    """Factor of all grey values."""
    spread: float = 1.0
    """Factor of their distance from the picture's mean."""
    gamma: float = 1.0
    """Power of all grey values."""

    def apply(self, square: FloatArray | npt.NDArray[np.uint8]) -> FloatArray:
        """A picture, float in [0, 1] or uint8 → float32 of `shape` in [0, 1]."""
        warped = cv2.warpAffine(square, self.matrix, self.shape[::-1], flags=cv2.INTER_LINEAR)
        grey = np.asarray(warped, np.float32)
        if square.dtype == np.uint8:
            grey /= np.float32(255.0)
        if self.gamma != 1.0:
            grey **= np.float32(self.gamma)
        return grey if self.gain == self.spread == 1.0 else self._grey_values(grey)

    def _grey_values(self, grey: FloatArray) -> FloatArray:
        """Zero stays zero: serving never shows a network a border of another shade."""
        shows = grey > 0
        mean = float(grey[shows].mean()) if shows.any() else 0.0
        changed = np.clip(self.gain * (mean + self.spread * (grey - mean)), 0.0, 1.0)
        return np.where(shows, changed, 0.0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Each drawn uniformly from ± its bound; flips happen with probability one half."""

    rotation_degrees: float = 20.0
    shear_degrees: float = 8.0
    zoom: float = 0.15
    shift: float = 0.0
    """Of the picture's width and height, to each side and up and down."""
    brightness: float = 0.0
    """Share by which grey values grow or shrink."""
    contrast: float = 0.0
    """Share by which their distance from the picture's mean does."""
    gamma: float = 0.0
    """Of the natural logarithm of the power that grey values are raised to."""
    horizontal_flip: bool = True
    vertical_flip: bool = True

    def draw(self, random: np.random.Generator, source: Shape, shape: Shape) -> Drawn:
        """One for pictures of the shape `source` that become `shape`, border 0.

        Half as many rows and columns cost a quarter of the work, and without any motion they
        average 2 × 2 pixels exactly.
        """
        linear = self._linear_map(random)
        sides = np.array(source[::-1], np.float64)
        shift = random.uniform(-self.shift, self.shift, size=2) * sides
        centre = (sides - 1) / 2
        scale = np.array(shape[::-1]) / sides
        moved = centre - linear @ centre + shift
        offset = moved * scale + (scale - 1) / 2
        matrix = np.hstack([linear * scale[:, np.newaxis], offset[:, np.newaxis]])
        gain = 1 + random.uniform(-self.brightness, self.brightness)
        spread = 1 + random.uniform(-self.contrast, self.contrast)
        gamma = np.exp(random.uniform(-self.gamma, self.gamma)) if self.gamma else 1.0
        return Drawn(matrix, shape, gain, spread, gamma)

    def _linear_map(self, random: np.random.Generator) -> Float64Array:
        angle = np.deg2rad(random.uniform(-self.rotation_degrees, self.rotation_degrees))
        shear = np.tan(np.deg2rad(random.uniform(-self.shear_degrees, self.shear_degrees)))
        scale = random.uniform(1 - self.zoom, 1 + self.zoom, size=2)
        flips = [
            -1.0 if allowed and random.random() < 0.5 else 1.0
            for allowed in (self.horizontal_flip, self.vertical_flip)
        ]
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear: Float64Array = (
            rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(scale * np.array(flips))
        )
        return linear
