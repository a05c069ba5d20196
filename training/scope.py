"""Fits what a bundle's network calls within its scope (`models.scope`), when it is trained."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import GroupKFold

from models.architectures import KerasModel
from models.prediction import FloatArray
from models.preprocessing import Preprocessing, letterbox, to_network_input
from models.scope import MOST_AXES, Description, Scope, Spread, describe, without_border

QUANTILE = 0.995
"""Of radiographs' distances from how the others are spread: the threshold."""
FOLDS = 5
"""Of groups of radiographs, each of which is measured by a spread of the others."""

Random = np.random.Generator

VARIATIONS = 2
"""Varied copies of each radiograph that show how radiographs spread, beside itself."""

_BATCH = 16
_COLLIMATED, _PROCESSED = 0.3, 0.6
"""Shares of variations."""
_EDGE_WIDTHS = (0.002, 0.01, 0.04)
"""Of the longer side: what is enhanced, fine trabeculae to soft tissue."""
_CONSTANT = 1e-6
"""A number that varies less is one that training radiographs all share: it is not scaled up."""


def fit_scope(
    network: KerasModel,
    preprocessing: Preprocessing,
    squares: FloatArray,
    rows: Sequence[int],
    groups: Sequence[int],
    *,
    seed: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Scope:
    """The scope of a trained network, 1 + `VARIATIONS` forward passes per radiograph.

    Args:
        network: (n, size, size, 3) → (features, logits), with the weights that will be served.
        squares: (all, size, size) in [0, 1], as serving letterboxes them.
        rows: radiographs (n) that show how they spread; each counts as it is and as it is
            `varied`.
        groups: (n); what hangs together never measures itself.
        seed: of the variations.
        on_progress: called for each forward pass.

    Raises:
        ValueError: fewer than two groups.
    """
    plain = (np.asarray(squares[row], np.float32) for row in rows)
    others = (
        varied(
            without_border(np.asarray(squares[row], np.float32)),
            preprocessing,
            random_of(seed, row, copy),
        )
        for copy in range(VARIATIONS)
        for row in rows
    )
    described = _describe(network, preprocessing, chain(plain, others), on_progress)
    many = [*groups] * (1 + VARIATIONS)
    return Scope(spread_of(described.features, many), spread_of(described.texture, many))


def outside_scope(
    scope: Scope,
    network: KerasModel,
    preprocessing: Preprocessing,
    squares: FloatArray,
    rows: Sequence[int],
    on_progress: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.bool_]:
    """Which of the rows (n) a network with this scope rejects."""
    pictures = (np.asarray(squares[row], np.float32) for row in rows)
    described = _describe(network, preprocessing, pictures, on_progress)
    return np.asarray(scope.excess(described) > 1)


def spread_of(numbers: FloatArray, groups: Sequence[int] | npt.NDArray[np.int_]) -> Spread:
    """From numbers (n, d) of radiographs in groups (n).

    Mean and covariance are those of all; the threshold comes from distances that each fold of
    groups has from a spread of the others, as no radiograph to come will have shaped it.

    Raises:
        ValueError: fewer than two groups.
    """
    count = len(np.unique(np.asarray(groups)))
    if count < 2:
        raise ValueError(f"a scope needs radiographs of 2 groups, not of {count}")
    distances = np.zeros(len(numbers))
    for others, own in GroupKFold(min(FOLDS, count)).split(numbers, groups=groups):
        distances[own] = _unbounded(numbers[others]).distance(numbers[own])
    return replace(_unbounded(numbers), threshold=float(np.quantile(distances, QUANTILE)))


def _unbounded(numbers: FloatArray) -> Spread:
    """Without a threshold: covariance of the standardised numbers, shrunk by Ledoit and Wolf."""
    mean, deviation = numbers.mean(axis=0), numbers.std(axis=0)
    deviation = np.where(deviation > _CONSTANT, deviation, 1.0)
    covariance, _ = ledoit_wolf((numbers - mean) / deviation, assume_centered=True)
    ascending, vectors = np.linalg.eigh(covariance)
    variances, axes = np.maximum(ascending[::-1], _CONSTANT), vectors[:, ::-1]
    kept = min(MOST_AXES, len(variances))
    rest = variances[kept:]
    return Spread(
        mean=np.asarray(mean, np.float32),
        deviation=np.asarray(deviation, np.float32),
        axes=np.asarray(axes[:, :kept], np.float32),
        variances=np.asarray(variances[:kept], np.float32),
        rest_variance=float(rest.mean()) if len(rest) else 1.0,
        threshold=1.0,
    )


def varied(picture: FloatArray, preprocessing: Preprocessing, random: Random) -> FloatArray:
    """A radiograph as another site might have sent it, letterboxed.

    Turned by quarters or mirrored, cropped to 70…100 % of each side, of another gamma, softer or
    grainier, often with enhanced edges or local contrast as makers process radiographs, at times
    with the white borders of a collimator: without this, what lies on its side, comes from another
    plate or is processed heavily is foreign.

    `picture`: float32 (rows, columns) in [0, 1], without a border.
    """
    finer = max(picture.shape) / max(preprocessing.shape)
    picture = np.rot90(picture, int(random.integers(4)))
    picture = _cropped(picture[:, :: int(random.choice((-1, 1)))], random)
    if random.random() < _PROCESSED:
        picture = processed(picture, random)
    picture = picture ** np.float32(np.exp(random.uniform(-0.3, 0.3)))
    if random.random() < _COLLIMATED:
        picture = _collimated(picture, random)
    softness = 0.1 + float(random.uniform(0, 0.002)) * preprocessing.input_size * finer
    soft = cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), softness)
    # What is finer than the input is averaged when it is letterboxed, and grain with it.
    grain = random.standard_normal(picture.shape, np.float32) * random.uniform(0, 0.02)
    grain *= np.float32(max(1.0, finer))
    seen = np.asarray(np.clip(soft + grain, 0, 1), np.float32)
    return letterbox(seen, preprocessing)[0]


def processed(picture: FloatArray, random: Random) -> FloatArray:
    """Enhance edges of several widths, or local contrast, or both, up to what makers do at most.

    `picture`: float32 (rows, columns) in [0, 1]; so is the result.
    """
    seen = np.ascontiguousarray(picture, np.float32)
    kind = random.integers(3)
    if kind != 1:
        gain, plain = random.uniform(0.5, 3.0), seen
        for width in _EDGE_WIDTHS:
            softness = max(0.7, width * max(plain.shape))
            edges = plain - cv2.GaussianBlur(plain, (0, 0), softness)
            seen = seen + np.float32(gain * random.uniform(0.3, 1.0)) * edges
        seen = np.asarray(np.clip(seen, 0, 1), np.float32)
    if kind != 0:
        tiles = int(random.integers(4, 13))
        equaliser = cv2.createCLAHE(float(random.uniform(2, 8)), (tiles, tiles))
        equalised = equaliser.apply((seen * 65535).astype(np.uint16))
        seen = np.asarray(equalised, np.float32) / np.float32(65535)
    return np.asarray(np.clip(seen, 0, 1), np.float32)


def random_of(seed: int, row: int, copy: int) -> Random:
    """The generator of one varied copy of one radiograph."""
    return np.random.default_rng((seed, row, copy))


def _describe(
    network: KerasModel,
    preprocessing: Preprocessing,
    pictures: Iterable[FloatArray],
    on_progress: Callable[[], None],
) -> Description:
    """Of n letterboxed squares; `on_progress` is called for each.

    Raises:
        ValueError: there are none.
    """
    found: list[Description] = []
    waiting = iter(pictures)
    while batch := list(islice(waiting, _BATCH)):
        squares = np.stack(batch)
        inputs = to_network_input(squares, preprocessing.normalization)
        found.append(describe(squares, np.asarray(network.predict_on_batch(inputs)[0])))
        for _ in batch:
            on_progress()
    if not found:
        raise ValueError("a scope needs radiographs")
    return Description(
        np.concatenate([one.features for one in found]),
        np.concatenate([one.texture for one in found]),
    )


def _cropped(picture: FloatArray, random: Random) -> FloatArray:
    """70 to 100 % of each side."""
    places: list[slice] = []
    for side in picture.shape:
        kept = max(1, round(side * random.uniform(0.7, 1.0)))
        start = int(random.integers(side - kept + 1))
        places.append(slice(start, start + kept))
    cropped: FloatArray = picture[places[0], places[1]]
    return cropped


def _collimated(picture: FloatArray, random: Random) -> FloatArray:
    """White to the left and the right, as where no X-rays fell: up to 30 % of the width each."""
    columns = picture.shape[1]
    edges = random.uniform(0, 0.3, 2) * columns
    places, softness = np.arange(columns, dtype=np.float32), 0.01 * columns + 1
    inside = np.minimum(places - edges[0], columns - edges[1] - places) / softness
    return np.asarray(np.maximum(picture, 1 - np.clip(inside, 0, 1)), np.float32)
