"""Radiographs decoded and letterboxed once, in memory-mapped files that runs may share.

A file's name is the digest of what it was made from: the pictures' paths, sizes and times of
change, the framing, the percentiles and the shape. It appears whole or not at all; deleting it
costs time only.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray
from models.preprocessing import Preprocessing, Shape, letterbox
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError

FINE_UP_TO = 256
"""Input rows up to which radiographs are cached at twice its pixels; above, at a quarter more."""
READING_THREADS = 2

_VERSION = 2
"""Of what a file holds; another number makes all of them anew."""

Tick = Callable[[], None]
Squares = npt.NDArray[Any]
"""uint8 or float32 (n, rows, columns), memory-mapped."""


def training_shape(preprocessing: Preprocessing) -> Shape:
    """Of cached squares: an augmented picture is resampled once, from finer pixels."""
    rows, columns = preprocessing.shape
    if preprocessing.input_size <= FINE_UP_TO:
        return 2 * rows, 2 * columns
    return rows * 5 // 4, columns * 5 // 4


def training_squares(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    folder: Path,
    on_progress: Tick = lambda: None,
) -> npt.NDArray[np.uint8]:
    """All radiographs of `training_shape`, grey value · 255.

    Raises:
        DataError: a picture is missing or cannot be read.
    """
    shape = training_shape(preprocessing)
    return _cached(examples, preprocessing, folder, shape, np.dtype(np.uint8), on_progress)


def serving_squares(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    folder: Path,
    on_progress: Tick = lambda: None,
) -> FloatArray:
    """All radiographs in [0, 1], exactly as serving letterboxes them: what figures are measured on.

    Raises:
        DataError: a picture is missing or cannot be read.
    """
    shape = preprocessing.shape
    return _cached(examples, preprocessing, folder, shape, np.dtype(np.float32), on_progress)


def _cached(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    folder: Path,
    shape: Shape,
    kind: np.dtype[Any],
    on_progress: Tick,
) -> Squares:
    sides = "x".join(map(str, shape))
    path = folder / f"{kind.name}-{sides}-{_key(examples, preprocessing, shape)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
        try:
            _write(unfinished, examples, preprocessing, shape, kind, on_progress)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    squares: Squares = np.load(path, mmap_mode="r", allow_pickle=False)
    return squares


def _key(examples: Sequence[Example], preprocessing: Preprocessing, shape: Shape) -> str:
    settings = (preprocessing.framing, preprocessing.low_percentile, preprocessing.high_percentile)
    made_from = [_VERSION, shape, settings, [_file_state(example.path) for example in examples]]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:32]


def _file_state(path: Path) -> tuple[str, int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def _write(
    path: Path,
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    shape: Shape,
    kind: np.dtype[Any],
    on_progress: Tick,
) -> None:
    squares = np.lib.format.open_memmap(path, "w+", dtype=kind, shape=(len(examples), *shape))

    def prepare(row: int) -> None:
        square, _ = letterbox(read_pixels(examples[row].path), preprocessing, shape)
        squares[row] = np.round(square * 255.0) if kind == np.uint8 else square

    with ThreadPoolExecutor(READING_THREADS) as threads:
        for _ in threads.map(prepare, range(len(examples))):
            on_progress()
    squares.flush()
