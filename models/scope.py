"""Whether a picture is of the kind that a network learned from: Mahalanobis distance, a threshold.

A picture is described by where the network's features respond and by a few measures of texture that
pooled features miss; how radiographs of the training data are spread in these numbers travels in
the bundle (Lee et al. 2018, "A simple unified framework for detecting out-of-distribution
samples"). `training.scope` fits it. Arrays in, numbers out; no file is opened here.
"""

from dataclasses import dataclass, fields
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray

MOST_AXES = 192
"""Directions that are told apart; all others share one variance. Bounds the file to about 0.5 MB
with 1280 features; a network with a fracture map has fewer features, and is stored whole."""
TEXTURE_MEASURES = 9
"""Numbers that `texture` gives."""

Distances = npt.NDArray[np.float64]

_OCTAVES = 5
_SPARSITY_AT = (0, 2)
"""Octaves whose sparsity is measured: edges of bone against noise or print, and its outlines."""
_SMALL = np.float32(1e-5)
_SPREADS = ("features", "texture")
_OTHER_PARTS = ("kernel", "offset")


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How d numbers of a picture are spread over radiographs, and how far off is too far."""

    mean: FloatArray
    """(d)."""
    deviation: FloatArray
    """(d), above 0: what numbers are divided by after the mean is taken off."""
    axes: FloatArray
    """(d, k): orthonormal directions of the standardised numbers, k ≤ d."""
    variances: FloatArray
    """(k), above 0: along the axes."""
    rest_variance: float
    """In every direction that is at right angles to the axes."""
    threshold: float
    """Greatest distance of a picture within the scope."""

    def __post_init__(self) -> None:
        count = len(self.mean)
        shapes = (self.deviation.shape, self.axes.shape, self.variances.shape)
        if shapes != ((count,), (count, len(self.variances)), (len(self.variances),)):
            raise ValueError(f"a spread of {count} numbers has arrays of the shapes {shapes}")
        if not np.isfinite([*self.mean, *self.axes.ravel()]).all():
            raise ValueError("a spread needs finite numbers")
        scales = [*self.deviation, *self.variances, self.rest_variance, self.threshold]
        if not (np.isfinite(scales).all() and min(scales) > 0):
            raise ValueError("a spread needs deviations, variances and a threshold above 0")

    def distance(self, numbers: FloatArray) -> Distances:
        """Mahalanobis distance (n) of numbers (n, d).

        Raises:
            ValueError: another d: numbers by another network.
        """
        if numbers.shape[1] != len(self.mean):
            raise ValueError(
                f"a spread of {len(self.mean)} numbers cannot judge {numbers.shape[1]}"
            )
        centred = (numbers.astype(np.float64) - self.mean) / self.deviation
        along = centred @ self.axes.astype(np.float64)
        # Rounding may leave a little less than nothing.
        rest = np.maximum(np.square(centred).sum(axis=1) - np.square(along).sum(axis=1), 0)
        squared = (np.square(along) / self.variances).sum(axis=1) + rest / self.rest_variance
        distances: Distances = np.sqrt(squared)
        return distances

    def excess(self, numbers: FloatArray) -> Distances:
        """Distance by the threshold (n): above 1 is too far. NaN is infinitely far."""
        return np.nan_to_num(self.distance(numbers) / self.threshold, nan=np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class OtherParts:
    """Tells limbs from other parts of the body, linear in `feature_shares`.

    A chest is no further from most limbs than a rare limb is, so distance alone does not tell it.
    """

    kernel: FloatArray
    """(K)."""
    offset: float
    """Moves the threshold to 0: above it is another part."""

    def __post_init__(self) -> None:
        if self.kernel.ndim != 1 or not np.isfinite([*self.kernel, self.offset]).all():
            raise ValueError("other parts need a kernel (K) and an offset, all finite")

    def excess(self, features: FloatArray) -> Distances:
        """Return log-odds over the threshold, plus 1 (n): above 1 is another part. NaN is one.

        Raises:
            ValueError: shares (n, K) of another K.
        """
        if features.shape[1] != len(self.kernel):
            raise ValueError(
                f"a head of {len(self.kernel)} features cannot judge {features.shape[1]}"
            )
        over = features.astype(np.float64) @ self.kernel.astype(np.float64) + self.offset
        return np.nan_to_num(1 + over, nan=np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Looks at a picture; it is outside if any says so.

    Apart, because a few measures of texture would not be heard among hundreds of features.
    """

    features: Spread
    """Of `feature_shares`."""
    texture: Spread
    """Of `texture`."""
    other_parts: OtherParts | None = None
    """Of `feature_shares`; None: not known, as in bundles up to 0.2."""

    def excess(self, described: "Description") -> Distances:
        """Return the largest of all looks (n): above 1 is outside the scope."""
        foreign = np.maximum(
            self.features.excess(described.features), self.texture.excess(described.texture)
        )
        if self.other_parts is None:
            return foreign
        return np.maximum(foreign, self.other_parts.excess(described.features))


class Description(NamedTuple):
    """Of n pictures."""

    features: FloatArray
    """(n, K)."""
    texture: FloatArray
    """(n, `TEXTURE_MEASURES`)."""


def describe(squares: FloatArray, features: FloatArray) -> Description:
    """Of letterboxed squares (n, size, size) in [0, 1] and their features (n, h, w, K)."""
    return Description(feature_shares(features), np.stack([texture(one) for one in squares]))


def feature_shares(features: FloatArray) -> FloatArray:
    """(n, K): the root of each pooled feature's share in all (Hellinger).

    So neither the contrast of a picture nor one unit that responds strongly decides.
    """
    pooled = np.maximum(features.mean(axis=(1, 2)), 0)
    shares = pooled / np.maximum(pooled.sum(axis=1, keepdims=True), _SMALL)
    return np.asarray(np.sqrt(shares), np.float32)


def texture(square: FloatArray) -> FloatArray:
    """(9) measures of a square in [0, 1] that don't depend on its contrast, border left out.

    Of differences of Gaussians, an octave each: how the mean amplitude changes from octave to
    octave (4: the slope of the spectrum; noise, print and smooth drawings have another one), how
    sparse the finest and the third are (largest and 95th percentile against mean and median);
    and how much gradients keep to one direction (1).
    """
    content = without_border(square)
    octaves = _octaves(content)
    amplitudes = np.log([octave.mean() + _SMALL for octave in octaves])
    sparsity = [number for at in _SPARSITY_AT for number in _sparsity(octaves[at])]
    return np.array([*np.diff(amplitudes), *sparsity, _one_direction(content)], np.float32)


def scope_to_bytes(scope: Scope) -> bytes:
    """As NumPy's .npz, float32, nothing pickled."""
    buffer = BytesIO()
    arrays = {
        f"{look}/{field.name}": np.float32(getattr(getattr(scope, look), field.name))
        for look in _SPREADS
        for field in fields(Spread)
    }
    if scope.other_parts is not None:
        for name in _OTHER_PARTS:
            arrays[f"other_parts/{name}"] = np.float32(getattr(scope.other_parts, name))
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def scope_from_bytes(stored: bytes) -> Scope:
    """What `scope_to_bytes` made.

    Raises:
        ValueError: not that.
    """
    try:
        with np.load(BytesIO(stored), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (AttributeError, BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"not a file of arrays ({error})") from error
    spreads = {look: _spread(found, f"{look}/") for look in _SPREADS}
    other_parts = _other_parts(found)
    if found:
        raise ValueError(f"unknown arrays: {', '.join(sorted(found))}")
    return Scope(**spreads, other_parts=other_parts)


def _other_parts(found: dict[str, Any]) -> OtherParts | None:
    """Takes its arrays out of `found`, where there are any."""
    stored = [found.pop(f"other_parts/{name}", None) for name in _OTHER_PARTS]
    if all(array is None for array in stored):
        return None
    kernel, offset = stored
    if kernel is None or offset is None:
        raise ValueError("other_parts needs both a kernel and an offset")
    return OtherParts(kernel, float(offset))


def _spread(found: dict[str, Any], prefix: str) -> Spread:
    """Takes its arrays out of `found`."""
    names = [field.name for field in fields(Spread)]
    if missing := [name for name in names if prefix + name not in found]:
        raise ValueError(f"no arrays {', '.join(prefix + name for name in missing)}")
    values: dict[str, Any] = {name: found.pop(prefix + name) for name in names}
    for name in ("rest_variance", "threshold"):
        values[name] = float(values[name])
    return Spread(**values)


def without_border(square: FloatArray) -> FloatArray:
    """Without the letterbox' border, nor what else is black to the edge."""
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    if not len(rows):
        return square
    content: FloatArray = square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(content, np.float32)


def _octaves(content: FloatArray) -> list[FloatArray]:
    """Absolute differences between a picture and its blurred copies, σ doubling from 0.7 pixels."""
    pictures = [content]
    for octave in range(_OCTAVES):
        blurred = cv2.GaussianBlur(content, (0, 0), 0.7 * 2.0**octave)
        pictures.append(np.asarray(blurred, np.float32))
    return [np.abs(finer - coarser) for finer, coarser in pairwise(pictures)]


def _sparsity(octave: FloatArray) -> tuple[float, float]:
    """Logarithms of largest by mean, and of the 95th percentile by the median."""
    # Of every fourth pixel: percentiles are what texture costs most, and hardly move.
    median, high = np.quantile(octave[::2, ::2], (0.5, 0.95))
    return (
        float(np.log((octave.max() + _SMALL) / (octave.mean() + _SMALL))),
        float(np.log((high + _SMALL) / (median + np.float32(1e-4)))),
    )


def _one_direction(content: FloatArray) -> float:
    """Coherence of the structure tensor, 0 (gradients in all directions) to 1 (in one)."""
    across, down = (cv2.Sobel(content, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    xx, yy = float((across * across).mean()), float((down * down).mean())
    xy = float((across * down).mean())
    return float(np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-9))
