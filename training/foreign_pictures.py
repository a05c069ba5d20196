"""Pictures that are no limb radiographs: drawn from a seed, or files of other kinds, as controls.

What a model must call outside its scope. `training.refit` fits on some that are drawn by a seed of
its own; the photographs are crops of the same two.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset

from dicom_node.errors import DicomNodeError
from dicom_node.grey_values import displayed_values
from models.prediction import FloatArray
from training.data.pixels import is_picture, read_pixels
from training.errors import DataError

Random = np.random.Generator
Draw = Callable[[Random, int, int], npt.NDArray[np.floating]]
"""(random, rows, columns) → grey values (rows, columns), of any range."""

_SIDES = (400, 900)
_FRAMES = 4
_WORDS = "patient left right knee view report hospital date name radiograph of the and 12 1974 no"
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def draw_foreign(kind: str, number: int, seed: int) -> FloatArray:
    """One control: float32 (rows, columns) in [0, 1]; the same arguments give the same picture.

    Args:
        kind: a key of `KINDS`.
    """
    random = np.random.default_rng((seed, list(KINDS).index(kind), number))
    rows, columns = (int(side) for side in random.integers(*_SIDES, 2))
    drawn = KINDS[kind](random, rows, columns)
    return np.asarray(np.clip(drawn, 0, 1), np.float32)


def read_foreign_file(path: Path) -> list[FloatArray]:
    """What a picture or a DICOM file of any kind shows, colour as grey: its first frames.

    Raises:
        DataError: neither a picture nor DICOM with pixels that can be decoded.
    """
    if is_picture(path):
        return [read_pixels(path)]
    try:
        dataset = pydicom.dcmread(path, force=True)
        return [_grey(frame, dataset) for frame in _frames(dataset)]
    except DicomNodeError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except Exception as error:  # pydicom and its decoders raise whatever the bytes provoke
        raise DataError(f"cannot read {path}: no pixels ({type(error).__name__})") from error


def _frames(dataset: Dataset) -> Iterator[npt.NDArray[np.generic]]:
    """The first `_FRAMES` frames, (rows, columns) or (rows, columns, samples)."""
    pixels = dataset.pixel_array
    several = int(dataset.get("NumberOfFrames") or 1) > 1
    yield from pixels[:_FRAMES] if several else (pixels,)


def _grey(frame: npt.NDArray[np.generic], dataset: Dataset) -> FloatArray:
    if frame.ndim == 2:
        return displayed_values(np.asarray(frame, np.int64), dataset)
    grey = np.asarray(frame, np.float32).mean(axis=-1)
    return np.asarray(grey / max(1.0, float(grey.max())), np.float32)


def _white_noise(random: Random, rows: int, columns: int) -> FloatArray:
    return random.random((rows, columns), np.float32)


def _smooth_noise(random: Random, rows: int, columns: int) -> FloatArray:
    """Blobs of 1 to 10 % of the picture's side."""
    sigma = max(rows, columns) * random.uniform(0.01, 0.1)
    blurred = cv2.GaussianBlur(_normal(random, rows, columns), (0, 0), sigma)
    return _stretched(np.asarray(blurred, np.float32))


def _fractal_noise(random: Random, rows: int, columns: int) -> FloatArray:
    """Power falls with frequency as in photographs and radiographs: amplitude ∝ 1 / f^(0.8…1.6)."""
    spectrum = np.fft.rfft2(_normal(random, rows, columns))
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    frequency[0, 0] = 1
    falling = spectrum / frequency ** random.uniform(0.8, 1.6)
    return _stretched(np.fft.irfft2(falling, (rows, columns)))


def _nearly_blank(random: Random, rows: int, columns: int) -> FloatArray:
    """One shade with the noise of a detector."""
    shade = random.uniform(0.1, 0.9)
    return np.asarray(shade + 0.01 * _normal(random, rows, columns), np.float32)


def _gradient(random: Random, rows: int, columns: int) -> FloatArray:
    """Linear or radial, with some noise."""
    y, x = _grid(rows, columns)
    angle = random.uniform(0, 2 * np.pi)
    linear = x * np.cos(angle) + y * np.sin(angle)
    radial = np.hypot(x - random.uniform(-1, 1), y - random.uniform(-1, 1))
    ramp = _stretched(linear if random.random() < 0.5 else radial)
    return np.asarray(ramp + 0.005 * _normal(random, rows, columns), np.float32)


def _checkerboard(random: Random, rows: int, columns: int) -> FloatArray:
    cell = int(random.integers(8, 80))
    y, x = np.mgrid[:rows, :columns] // cell
    return np.asarray((x + y) % 2, np.float32)


def _text_page(random: Random, rows: int, columns: int) -> FloatArray:
    """Lines of words, dark on light or light on dark."""
    page = np.zeros((rows, columns), np.uint8)
    words = np.array(_WORDS.split())
    font, scale = _FONTS[random.integers(len(_FONTS))], random.uniform(0.4, 1.2)
    for y in range(int(40 * scale), rows - 10, int(40 * scale)):
        line = " ".join(random.choice(words, int(random.integers(2, 12))))
        cv2.putText(page, line, (15, y), font, scale, (255,), 1 + int(scale), cv2.LINE_AA)
    grey = np.asarray(page, np.float32) / np.float32(255)
    return grey if random.random() < 0.5 else np.float32(1) - grey


def _chest(random: Random, rows: int, columns: int) -> FloatArray:
    """A frontal chest film, drawn: lungs, ribs, spine, heart, diaphragm, shoulders, clavicles."""
    side = max(rows, columns)
    rows, columns = side, int(side * random.uniform(0.82, 1.0))
    y, x = _grid(rows, columns)
    film = 0.75 - 0.1 * y
    outside = _inside(x, y, 0, 0.55, random.uniform(0.98, 1.2), 1.75)
    for left in (-1, 1):
        centre = left * random.uniform(0.42, 0.48)
        lung = _inside(x, y, centre, 0.0, random.uniform(0.33, 0.38), random.uniform(0.68, 0.78))
        dome = _soft(y - random.uniform(0.45, 0.55) + 0.5 * (x - centre) ** 2, 0.03)
        film = film - 0.5 * lung * (1 - dome)
    film = film + _ribs(random, x, y)
    film = film + 0.22 * np.exp(-((x / 0.09) ** 2)) * (1 + 0.1 * np.sin(22 * y))
    film = film + 0.35 * _inside(x, y, random.uniform(0.08, 0.16), 0.28, 0.3, 0.3)
    film = film + 0.03 * _blurred(random, x.shape, 0.01) + 0.01 * _normal(random, *x.shape)
    return np.asarray(film * outside, np.float32)


def _ribs(random: Random, x: FloatArray, y: FloatArray) -> npt.NDArray[np.floating]:
    """Posterior ribs fall to the sides, the clavicles rise to them."""
    spacing, phase = random.uniform(0.15, 0.19), random.uniform(0, 0.1)
    along = y - 0.35 * np.abs(x) ** 1.5 + phase
    wave = np.abs((along / spacing) % 1 - 0.5)
    ribs = 0.09 * _soft(wave - 0.32, 0.03) * _inside(x, y, 0, -0.05, 0.85, 0.85)
    clavicles = np.exp(-(((y + 0.62 + 0.2 * np.abs(x)) / 0.035) ** 2)) * (np.abs(x) < 0.75)
    return ribs + 0.15 * clavicles


def _body_slice(random: Random, rows: int, columns: int) -> FloatArray:
    """An axial CT slice in a soft tissue window, drawn: a body in air, organs, spine, table."""
    side = max(rows, columns)
    y, x = _grid(side, side)
    width, height = random.uniform(0.75, 0.9), random.uniform(0.5, 0.65)
    body = _inside(x, y, 0, 0, width, height, 0.01)
    inner = _inside(x, y, 0, 0, width - 0.08, height - 0.08, 0.01)
    shown = 0.25 * body + 0.25 * inner
    for _ in range(int(random.integers(4, 9))):
        at = random.uniform(-0.5, 0.5), random.uniform(-0.3, 0.3)
        wide, high = random.uniform(0.06, 0.25, 2)
        organ = _inside(x, y, *at, wide, high, 0.01) * inner
        shown = shown + random.uniform(-0.35, 0.25) * organ
    spine = _inside(x, y, 0, height - 0.25, 0.09, 0.1, 0.01)
    table = 0.3 * np.exp(-(((y - height - 0.06 - 0.1 * x**2) / 0.012) ** 2))
    noise = 0.03 * body * _normal(random, side, side)
    return np.asarray(shown + 0.5 * spine + table + noise, np.float32)


def _photograph(random: Random, rows: int, columns: int, name: str) -> FloatArray:
    """A piece of one of scikit-learn's sample photographs, perhaps mirrored."""
    photograph = _sample_photographs()[name]
    height, width = photograph.shape
    share = random.uniform(0.5, 1.0)
    tall, wide = int(height * share), int(width * share)
    top, left = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
    piece = photograph[top : top + tall, left : left + wide]
    return piece[:, ::-1] if random.random() < 0.5 else piece


def _temple(random: Random, rows: int, columns: int) -> FloatArray:
    return _photograph(random, rows, columns, "china.jpg")


def _flower(random: Random, rows: int, columns: int) -> FloatArray:
    return _photograph(random, rows, columns, "flower.jpg")


@cache
def _sample_photographs() -> Mapping[str, FloatArray]:
    from sklearn.datasets import load_sample_images

    found = load_sample_images()
    return {
        Path(name).name: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        for name, image in zip(found.filenames, found.images, strict=True)
    }


def _normal(random: Random, rows: int, columns: int) -> FloatArray:
    return random.standard_normal((rows, columns), np.float32)


def _blurred(random: Random, shape: tuple[int, int], share: float) -> npt.NDArray[np.floating]:
    """Noise of deviation 1 with blobs of `share` of the side."""
    blurred = cv2.GaussianBlur(_normal(random, *shape), (0, 0), max(shape) * share)
    return np.asarray(blurred / blurred.std(), np.float32)


def _grid(rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    """Of y and x from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return y.astype(np.float32), x.astype(np.float32)


def _inside(
    x: FloatArray,
    y: FloatArray,
    centre_x: float,
    centre_y: float,
    half_width: float,
    half_height: float,
    softness: float = 0.03,
) -> npt.NDArray[np.floating]:
    """1 inside an ellipse, 0 outside, with a soft edge."""
    radius = np.hypot((x - centre_x) / half_width, (y - centre_y) / half_height)
    return 1 - _soft(radius - 1, softness / min(half_width, half_height))


def _soft(value: npt.NDArray[np.floating], width: float) -> npt.NDArray[np.floating]:
    """A step at 0 from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.clip(value / width, -50, 50))))


def _stretched(values: npt.NDArray[np.floating]) -> FloatArray:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low), np.float32)


KINDS: Mapping[str, Draw] = {
    "white noise": _white_noise,
    "smooth noise": _smooth_noise,
    "fractal noise": _fractal_noise,
    "nearly blank": _nearly_blank,
    "gradient": _gradient,
    "checkerboard": _checkerboard,
    "text page": _text_page,
    "chest film, drawn": _chest,
    "CT slice, drawn": _body_slice,
    "photograph: temple": _temple,
    "photograph: flower": _flower,
}
"""How each kind of control is drawn."""
