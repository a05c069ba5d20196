"""What a model says about one radiograph: plain frozen values, no computation on pixels."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class OperatingPoint(StrEnum):
    """Thresholds on the calibrated probability, each chosen on validation data."""

    SENSITIVE = "sensitive"
    """Few fractures missed; more false alarms. Reaching it alone means "fracture possible"."""
    SPECIFIC = "specific"
    """Few false alarms. Reaching it means "fracture likely"."""


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Both thresholds as calibrated probabilities in [0, 1], sensitive ≤ specific."""

    sensitive: float
    specific: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.sensitive <= self.specific <= 1.0:
            raise ValueError(
                f"operating points must satisfy 0 ≤ sensitive ≤ specific ≤ 1, got "
                f"sensitive={self.sensitive}, specific={self.specific}"
            )

    def crossed(self, probability: float) -> OperatingPoint | None:
        """The highest operating point that `probability` reaches, None below both.

        Raises:
            ValueError: not a probability. NaN reaches nothing, and must not read as negative.
        """
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"{probability} is not a probability in [0, 1]; was the input finite?")
        if probability >= self.specific:
            return OperatingPoint.SPECIFIC
        if probability >= self.sensitive:
            return OperatingPoint.SENSITIVE
        return None


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model spoke: `digest` is the SHA-256 (hex) over its card and weights."""

    name: str
    version: str
    digest: str

    @property
    def label(self) -> str:
        """Name and version, for tables and captions."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Calibrated fracture probability in [0, 1] of one radiograph."""

    probability: float
    operating_point: OperatingPoint | None
    model: ModelIdentity


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap:
    """Where the model looked.

    `values` is float32 (rows, columns) in [0, 1] with maximum 1 (or all zero). It covers the whole
    radiograph and nothing else, on a coarser grid: stretch it to the radiograph's size.
    """

    values: FloatArray
    method: str
    target_layer: str

    def peak(self, rows: int, columns: int) -> tuple[int, int]:
        """(row, column) of the maximum, in pixels of a radiograph of `rows` × `columns`.

        A plateau (a wide map's peak between grid cells) gives its centre, not its first corner;
        of several equal maxima one is taken, never a place between them.
        """
        map_rows, map_columns = self.values.shape
        maxima = np.argwhere(self.values >= self.values.max())
        at = maxima[np.square(maxima - maxima.mean(axis=0)).sum(axis=1).argmin()]
        return (
            min(rows - 1, int((at[0] + 0.5) * rows / map_rows)),
            min(columns - 1, int((at[1] + 0.5) * columns / map_columns)),
        )
