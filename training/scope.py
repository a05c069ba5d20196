"""Fits what a bundle's network calls within its scope (`models.scope`), when it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from sklearn.covariance import ledoit_wolf

from models.architectures import KerasModel
from models.prediction import FloatArray
from models.preprocessing import Preprocessing, letterbox, to_network_input
from models.scope import MOST_AXES, Description, Scope, Spread, describe

QUANTILE = 0.995
"""Of held-out radiographs' distances: the threshold."""

Random = np.random.Generator

_BATCH = 16
_COLLIMATED = 0.3
"""Share of variations."""
_CONSTANT = 1e-6
"""A number that varies less is one that training radiographs all share: it is not scaled up."""


def fit_scope(
    network: KerasModel,
    preprocessing: Preprocessing,
    squares: FloatArray,
    training: Sequence[int],
    held_out: Sequence[int],
    *,
    seed: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Scope:
    """The scope of a trained network, two forward passes per radiograph.

    Args:
        network: (n, size, size, 3) → (features, logits), with the weights that will be served.
        squares: (all, size, size) in [0, 1], as serving letterboxes them.
        training: rows that show how radiographs spread; each counts as it is and once `varied`.
        held_out: rows that the network did not learn from; they set the threshold, likewise.
        seed: of the variations.
        on_progress: called for each of the rows.

    Raises:
        ValueError: fewer than two training radiographs, or no held-out ones.
    """
    described = [
        _descriptions(network, preprocessing, squares, rows, seed, on_progress)
        for rows in (training, held_out)
    ]
    return scope_of(*described)


def scope_of(training: Description, held_out: Description) -> Scope:
    """From descriptions of radiographs; see `spread_of`."""
    return Scope(
        features=spread_of(training.features, held_out.features),
        texture=spread_of(training.texture, held_out.texture),
    )


def spread_of(training: FloatArray, held_out: FloatArray) -> Spread:
    """From numbers (n, d): covariance of the first ones, threshold by the others.

    The covariance of the standardised numbers is shrunk by Ledoit and Wolf (2004).

    Raises:
        ValueError: fewer than two, or no held-out ones.
    """
    if len(training) < 2 or not len(held_out):
        raise ValueError(
            f"a scope needs 2 training and 1 held-out radiographs, not {len(training)} and "
            f"{len(held_out)}"
        )
    mean, deviation = training.mean(axis=0), training.std(axis=0)
    deviation = np.where(deviation > _CONSTANT, deviation, 1.0)
    covariance, _ = ledoit_wolf((training - mean) / deviation, assume_centered=True)
    ascending, vectors = np.linalg.eigh(covariance)
    variances, axes = np.maximum(ascending[::-1], _CONSTANT), vectors[:, ::-1]
    kept = min(MOST_AXES, len(variances))
    rest = variances[kept:]
    unbounded = Spread(
        mean=np.asarray(mean, np.float32),
        deviation=np.asarray(deviation, np.float32),
        axes=np.asarray(axes[:, :kept], np.float32),
        variances=np.asarray(variances[:kept], np.float32),
        rest_variance=float(rest.mean()) if len(rest) else 1.0,
        threshold=1.0,
    )
    return replace(unbounded, threshold=float(np.quantile(unbounded.distance(held_out), QUANTILE)))


def varied(square: FloatArray, preprocessing: Preprocessing, random: Random) -> FloatArray:
    """A letterboxed square as another site might have sent it, letterboxed anew.

    Turned by quarters or mirrored, cropped to 70…100 % of each side, of another gamma, softer or
    grainier, at times with the white borders of a collimator: without this, what lies on its side
    or comes from another plate is foreign.
    """
    picture = np.rot90(_content(square), int(random.integers(4)))
    picture = _cropped(picture[:, :: int(random.choice((-1, 1)))], random)
    picture = picture ** np.float32(np.exp(random.uniform(-0.3, 0.3)))
    if random.random() < _COLLIMATED:
        picture = _collimated(picture, random)
    softness = 0.1 + float(random.uniform(0, 0.002)) * preprocessing.input_size
    soft = cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), softness)
    grain = random.standard_normal(picture.shape, np.float32) * random.uniform(0, 0.02)
    seen = np.asarray(np.clip(soft + grain, 0, 1), np.float32)
    return letterbox(seen, preprocessing)[0]


def _descriptions(
    network: KerasModel,
    preprocessing: Preprocessing,
    squares: FloatArray,
    rows: Sequence[int],
    seed: int,
    on_progress: Callable[[], None],
) -> Description:
    """Of the n rows, and of a variation of each."""
    found: list[Description] = []
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        plain = np.stack([np.asarray(squares[row], np.float32) for row in chosen])
        others = [
            varied(square, preprocessing, np.random.default_rng((seed, row)))
            for square, row in zip(plain, chosen, strict=True)
        ]
        for batch in (plain, np.stack(others)):
            inputs = to_network_input(batch, preprocessing.normalization)
            found.append(describe(batch, np.asarray(network.predict_on_batch(inputs)[0])))
        for _ in chosen:
            on_progress()
    if not found:
        raise ValueError("a scope needs training and held-out radiographs")
    return Description(
        np.concatenate([one.features for one in found]),
        np.concatenate([one.texture for one in found]),
    )


def _content(square: FloatArray) -> FloatArray:
    """Without the letterbox' border, nor what else is black to the edge."""
    rows, columns = (np.flatnonzero(square.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return square
    content: FloatArray = square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return content


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
