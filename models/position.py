"""Whether a radiograph lies on its side: a linear head on the features that also classify it.

A network that learned from upright limbs misses fractures in a radiograph that is turned by a
quarter. The head is fitted on turned copies of radiographs (`training.position`); it tells lying
from standing and not up from down, which networks that learn from mirrored copies do not see.
Arrays in, numbers out.
"""

from dataclasses import dataclass
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray
from models.scope import feature_shares

_ARRAYS = ("kernel", "offset")


@dataclass(frozen=True, slots=True, eq=False)
class PositionHead:
    """Log-odds that a picture lies on its side, linear in `models.scope.feature_shares`."""

    kernel: FloatArray
    """(K), of a network's K features."""
    offset: float

    def __post_init__(self) -> None:
        if self.kernel.ndim != 1 or not np.isfinite([*self.kernel, self.offset]).all():
            raise ValueError("a position head needs a kernel (K) and an offset, all finite")

    def lies(self, features: FloatArray) -> npt.NDArray[np.float64]:
        """Return the log-odds (n) that each picture of features (n, h, w, K) lies on its side.

        Raises:
            ValueError: another K: features of another network.
        """
        shares = feature_shares(features).astype(np.float64)
        if shares.shape[1] != len(self.kernel):
            raise ValueError(
                f"a position head of {len(self.kernel)} features cannot judge {shares.shape[1]}"
            )
        log_odds: npt.NDArray[np.float64] = shares @ self.kernel.astype(np.float64) + self.offset
        return log_odds


def position_to_bytes(head: PositionHead) -> bytes:
    """Return the head as NumPy's .npz, float32, nothing pickled."""
    buffer = BytesIO()
    arrays = {name: np.float32(getattr(head, name)) for name in _ARRAYS}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def position_from_bytes(stored: bytes) -> PositionHead:
    """Read what `position_to_bytes` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        with np.load(BytesIO(stored), allow_pickle=False) as arrays:
            if set(arrays.files) != set(_ARRAYS):
                raise ValueError(f"arrays {', '.join(sorted(arrays.files))}, not {_ARRAYS}")
            return PositionHead(arrays["kernel"], float(arrays["offset"]))
    except (AttributeError, BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"not a file of arrays ({error})") from error
