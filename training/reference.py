"""The reference that a bundle carries, so that drift can be seen where it is used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.reference import as_card
from training.data.example import Example
from training.data.pixels import read_pixels


def reference_card(
    examples: Sequence[Example], probabilities: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Histograms over radiographs (n) that were kept from training, and their probabilities (n).

    Any: JSON.
    """
    measured = [_measure(example) for example in examples]
    return as_card(
        {
            "probability": probabilities,
            "mean_intensity": [mean for mean, _ in measured],
            "pixels": [pixels for _, pixels in measured],
        }
    )


def _measure(example: Example) -> tuple[float, int]:
    """Mean grey value in [0, 1] and rows · columns."""
    radiograph = read_pixels(example.path)
    return float(radiograph.mean()), radiograph.size
