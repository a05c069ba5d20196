"""A drawn chest film: what the model is not for, so that the demonstration shows NOT_ANALYSED."""

import cv2
import numpy as np
import numpy.typing as npt

_ROWS, _COLUMNS = 900, 800
_SEED = 4


def draw_chest_film() -> npt.NDArray[np.uint8]:
    """Draw a frontal chest film as uint8 (900, 800), bone bright; each call gives the same one."""
    random = np.random.default_rng(_SEED)
    y, x = np.mgrid[-1 : 1 : _ROWS * 1j, -1 : 1 : _COLUMNS * 1j]
    film = 0.72 - 0.1 * y + 0.20 * np.exp(-((x / 0.09) ** 2)) * (1 + 0.1 * np.sin(22 * y))
    for side in (-1, 1):
        lung = _ellipse(x - side * 0.44, y, 0.35, 0.72)
        diaphragm = _step(y - 0.5 + 0.5 * (x - side * 0.44) ** 2)
        film -= 0.48 * lung * (1 - diaphragm)
    film += 0.3 * _ellipse(x - 0.12, y - 0.28, 0.28, 0.3)  # the heart, to the image's right
    film += _ribs(x, y)
    film += 0.012 * cv2.GaussianBlur(random.standard_normal((_ROWS, _COLUMNS)), (0, 0), 1.2)
    film *= _ellipse(x, y - 0.55, 1.08, 1.75)
    return np.asarray(np.rint(255 * np.clip(film, 0, 1)), np.uint8)


def _ribs(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return posterior ribs, which fall to the sides, and clavicles, which rise to them."""
    wave = np.abs(((y - 0.35 * np.abs(x) ** 1.5) / 0.17) % 1 - 0.5)
    ribs = 0.09 * _step(wave - 0.32) * _ellipse(x, y + 0.05, 0.85, 0.85)
    clavicles = np.exp(-(((y + 0.62 + 0.2 * np.abs(x)) / 0.035) ** 2)) * (np.abs(x) < 0.75)
    return np.asarray(ribs + 0.14 * clavicles)


def _ellipse(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], half_width: float, half_height: float
) -> npt.NDArray[np.float64]:
    """Return 1 inside an ellipse about the origin, 0 outside, with a soft edge."""
    return 1 - _step(np.hypot(x / half_width, y / half_height) - 1, 0.08)


def _step(value: npt.NDArray[np.float64], width: float = 0.03) -> npt.NDArray[np.float64]:
    """Return a smooth step at 0 from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.clip(value / width, -50, 50))))
