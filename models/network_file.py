"""The network of a bundle as an ONNX file, with what the trained network said of stored pictures.

So an engine can be held to the network that was trained, on a machine that has no TensorFlow.
"""

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt

from models.engine import Engine
from models.errors import BundleError
from models.prediction import FloatArray
from models.preprocessing import Preprocessing, Shape, to_network_input

LOG_ODDS_TOLERANCE = 1e-4
"""Largest difference between two engines, in log-odds."""
FEATURES_TOLERANCE = 1e-3
"""Largest difference between two engines, of any feature."""

_PICTURES = 2
_ARRAYS = ("pictures", "features", "log_odds")


@dataclass(frozen=True, slots=True, eq=False)
class NetworkCheck:
    """Pictures that are drawn, never of patients, and what the trained network made of them."""

    pictures: npt.NDArray[np.uint8]
    """(n, rows, columns), as a letterboxed square times 255."""
    features: FloatArray
    """(n, h, w, K)."""
    log_odds: FloatArray
    """(n)."""

    def inputs(self, preprocessing: Preprocessing) -> FloatArray:
        """The pictures as the network's input, (n, rows, columns, 3)."""
        return network_inputs(self.pictures, preprocessing)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFile:
    """`network.onnx` and `network_check.npz` of a bundle."""

    onnx: bytes
    """(n, rows, columns, 3) float32 → features (n, h, w, K) and logits (n, outputs)."""
    check: NetworkCheck


def draw_pictures(shape: Shape) -> npt.NDArray[np.uint8]:
    """Smooth noise of several scales, which excites all of a network, (n, rows, columns)."""
    random = np.random.default_rng(20261130)
    pictures = []
    for _ in range(_PICTURES):
        picture = np.zeros(shape, np.float32)
        for sigma in (1.5, 6.0, 24.0):
            noise = random.standard_normal(shape).astype(np.float32)
            picture += cv2.GaussianBlur(noise, (0, 0), sigma) * sigma
        pictures.append(cv2.normalize(picture, picture, 0, 255, cv2.NORM_MINMAX))
    return np.stack(pictures).round().astype(np.uint8)


def network_inputs(pictures: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> FloatArray:
    """Pictures (n, rows, columns) as a network's input, (n, rows, columns, 3)."""
    squares = pictures.astype(np.float32) / np.float32(255)
    return to_network_input(squares, preprocessing.normalization)


def verify(engine: Engine, check: NetworkCheck, preprocessing: Preprocessing) -> None:
    """Hold an engine to what the trained network said.

    Raises:
        BundleError: log-odds or features differ by more than the tolerances, or are not finite.
    """
    features, log_odds = engine.run(check.inputs(preprocessing))
    for name, found, expected, tolerance in (
        ("log-odds", log_odds, check.log_odds, LOG_ODDS_TOLERANCE),
        ("features", features, check.features, FEATURES_TOLERANCE),
    ):
        if found.shape != expected.shape:
            raise BundleError(
                f"{engine.label} gives {name} of shape {found.shape}, the trained network "
                f"{expected.shape}: network.onnx is of another network"
            )
        difference = float(np.abs(found - expected).max())
        if not difference <= tolerance:  # NaN differs, too
            raise BundleError(
                f"{engine.label} gives {name} that differ by {difference:.2g} from the trained "
                f"network's, more than {tolerance:g}: try another model.engine "
                "(`fracture-screen model engines`), or train and export the bundle again"
            )


def check_to_bytes(check: NetworkCheck) -> bytes:
    """Return the check as a bundle stores it."""
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        pictures=check.pictures,
        features=check.features,
        log_odds=check.log_odds,
    )
    return buffer.getvalue()


def check_from_bytes(stored: bytes) -> NetworkCheck:
    """The inverse of `check_to_bytes`. ValueError, KeyError: it is none."""
    with np.load(BytesIO(stored), allow_pickle=False) as arrays:
        return NetworkCheck(*(arrays[name] for name in _ARRAYS))
