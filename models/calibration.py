"""From a network's logit to a calibrated probability (Platt scaling)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = σ(scale · logit + offset), fitted on validation data (Platt 1999)."""

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.scale < math.inf and math.isfinite(self.offset)):
            raise ValueError(
                "calibration needs a positive finite scale and a finite offset, got "
                f"scale={self.scale}, offset={self.offset}"
            )

    def probability(self, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Calibrated probabilities in [0, 1], of the shape of `logits`."""
        scores = self.scale * np.asarray(logits, np.float64) + self.offset
        return 1.0 / (1.0 + np.exp(-np.clip(scores, -60.0, 60.0)))
