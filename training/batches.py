"""Batches for `fit`: prepared radiographs held in memory, augmented on the fly, reproducibly."""

import math
from collections.abc import Callable, Sequence

import cv2
import keras
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray
from models.preprocessing import Preprocessing, letterbox, to_network_input
from training.augmentation import Augmentation
from training.data.example import Example
from training.data.pixels import read_pixels

CACHE_SCALE = 2
"""Cached at twice the input size: an augmented picture is resampled once and then averaged down."""


def cache_radiographs(
    examples: Sequence[Example],
    preprocessing: Preprocessing,
    on_progress: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.uint8]:
    """All radiographs, prepared, as uint8 (n, CACHE_SCALE · size, CACHE_SCALE · size)."""
    size = preprocessing.input_size * CACHE_SCALE
    cache = np.zeros((len(examples), size, size), np.uint8)
    for index, example in enumerate(examples):
        square, _ = letterbox(read_pixels(example.path), preprocessing, size)
        cache[index] = np.round(square * 255.0)
        on_progress()
    return cache


class AugmentedBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras ships no types
    """Shuffled, augmented training batches; epoch e of seed s is the same in every run."""

    def __init__(
        self,
        cache: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.float32],
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._cache, self._labels, self._augmentation = cache, labels, augmentation
        self._batch_size, self._seed, self._epoch = batch_size, seed, first_epoch
        self._order = self._shuffled()

    def __len__(self) -> int:
        """Batches per epoch, the last one smaller."""
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[FloatArray, npt.NDArray[np.float32]]:
        """Network input (n, size, size, 3) in [-1, 1] and labels (n)."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        random = np.random.default_rng((self._seed, self._epoch, index))
        squares = [self._augmented(int(row), random) for row in chosen]
        return to_network_input(np.stack(squares)), self._labels[chosen]

    def on_epoch_end(self) -> None:
        """Reshuffle."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._labels))

    def _augmented(self, row: int, random: np.random.Generator) -> FloatArray:
        square = self._cache[row].astype(np.float32) / 255.0
        return _shrink(self._augmentation.apply(square, random))


def _shrink(square: FloatArray) -> FloatArray:
    """Cached size → input size, by area averaging."""
    size = square.shape[0] // CACHE_SCALE
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def serving_inputs(examples: Sequence[Example], preprocessing: Preprocessing) -> FloatArray:
    """Network input as serving makes it, (n, size, size, 3): what figures must be measured on."""
    squares = [letterbox(read_pixels(example.path), preprocessing)[0] for example in examples]
    return to_network_input(np.stack(squares))
