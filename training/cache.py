"""Radiographs decoded and letterboxed once, in memory-mapped files that runs may share.

A file's name is the digest of what it was made from: the pictures' paths, sizes and times of
change, the percentiles and the side. It appears whole or not at all; deleting it costs time only.
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
from models.preprocessing import Preprocessing, letterbox
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError

FINE_UP_TO = 256
"""Input size up to which radiographs are cached at twice its pixels; above, at a quarter more."""
READING_THREADS = 2

_VERSION = 1
"""Of what a file holds; another number makes all of them anew."""

Tick = Callable[[], None]
Squares = npt.NDArray[Any]
"""uint8 or float32 (n, side, side), memory-mapped."""


def training_side(input_size: int) -> int:
    """Side of cached squares: an augmented picture is resampled once, from finer pixels."""
    return 2 * input_size if input_size <= FINE_UP_TO else input_size * 5 // 4


def training_squares(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    folder: Path,
    on_progress: Tick = lambda: None,
) -> npt.NDArray[np.uint8]:
    """All radiographs of `training_side`, grey value · 255.

    Raises:
        DataError: a picture is missing or cannot be read.
    """
    side = training_side(preprocessing.input_size)
    return _cached(examples, preprocessing, folder, side, np.dtype(np.uint8), on_progress)


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
    side = preprocessing.input_size
    return _cached(examples, preprocessing, folder, side, np.dtype(np.float32), on_progress)


def _cached(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    folder: Path,
    side: int,
    kind: np.dtype[Any],
    on_progress: Tick,
) -> Squares:
    path = folder / f"{kind.name}-{side}-{_key(examples, preprocessing, side)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
        try:
            _write(unfinished, examples, preprocessing, side, kind, on_progress)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    squares: Squares = np.load(path, mmap_mode="r", allow_pickle=False)
    return squares


def _key(examples: Sequence[Example], preprocessing: Preprocessing, side: int) -> str:
    percentiles = (preprocessing.low_percentile, preprocessing.high_percentile)
    made_from = [_VERSION, side, percentiles, [_file_state(example.path) for example in examples]]
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
    side: int,
    kind: np.dtype[Any],
    on_progress: Tick,
) -> None:
    shape = (len(examples), side, side)
    squares = np.lib.format.open_memmap(path, "w+", dtype=kind, shape=shape)

    def prepare(row: int) -> None:
        square, _ = letterbox(read_pixels(examples[row].path), preprocessing, side)
        squares[row] = np.round(square * 255.0) if kind == np.uint8 else square

    with ThreadPoolExecutor(READING_THREADS) as threads:
        for _ in threads.map(prepare, range(len(examples))):
            on_progress()
    squares.flush()
