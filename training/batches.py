"""Training batches: shuffled, augmented, prepared ahead by threads, and independent of history.

Order and augmentation derive from (seed, epoch, place in the epoch) alone. So an epoch is the same
in every run, whatever was done before, and a run that goes on needs no generator's state.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray
from models.preprocessing import Normalization, Shape, to_network_input
from training.augmentation import Augmentation, Drawn
from training.data.example import Box
from training.fracture_maps import fracture_cells

THREADS = 2
AHEAD = 4
"""Batches in preparation: the network never waits for a slow one, and memory stays bounded."""

Labels = npt.NDArray[np.bool_]
"""(n), true = fractured."""
Rows = npt.NDArray[np.int64]
"""Places in an array of squares."""


class Batch(NamedTuple):
    """Network input (n, rows, columns, 3), and whether each is fractured (n).

    `maps` are fracture maps to learn, (n, h, w) in [0, 1], where a network has one.
    """

    inputs: FloatArray
    fractured: Labels
    maps: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class MapTargets:
    """Boxes per row of the squares, in their pixels, and the shape of the map's grid."""

    boxes: Sequence[Sequence[Box]]
    cells: Shape


@dataclass(frozen=True, slots=True, eq=False)
class AugmentedBatches:
    """The training part of a data set."""

    squares: npt.NDArray[np.uint8]
    """(all, rows, columns), at least as fine as the input: `cache.training_squares`."""
    rows: Rows
    """Which of them are for training (n)."""
    fractured: Labels
    """Of these (n)."""
    augmentation: Augmentation
    normalization: Normalization
    input_shape: Shape
    batch_size: int
    oversampling: bool
    seed: int
    map_targets: MapTargets | None = None

    def __len__(self) -> int:
        """Batches per epoch, the last one perhaps smaller."""
        return math.ceil(len(self._order(0)) / self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of an epoch, in order; preparing goes on while the caller works."""
        order = self._order(number)
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for start in range(0, len(order), self.batch_size):
                    waiting.append(threads.submit(self._batch, order, number, start))
                    if len(waiting) == AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def class_weights(self) -> npt.NDArray[np.float32]:
        """Of other and fractured radiographs: inverse frequency in an epoch, mean 1 over it."""
        return inverse_frequency(self.fractured[self._order(0)])

    def _order(self, epoch: int) -> Rows:
        """Places in `rows`."""
        random = np.random.default_rng((self.seed, epoch))
        return shuffled_places(self.fractured, random, oversampling=self.oversampling)

    def _batch(self, order: Rows, epoch: int, start: int) -> Batch:
        chosen = order[start : start + self.batch_size]
        rows = self.rows[chosen]
        draws = [self._drawn(epoch, start + place) for place in range(len(rows))]
        pictures = [drawn.apply(self.squares[row]) for drawn, row in zip(draws, rows, strict=True)]
        inputs = to_network_input(np.stack(pictures), self.normalization)
        return Batch(inputs, self.fractured[chosen], self._maps(rows, draws))

    def _maps(self, rows: Rows, draws: Sequence[Drawn]) -> FloatArray | None:
        wanted = self.map_targets
        if wanted is None:
            return None
        return np.stack(
            [
                fracture_cells(wanted.boxes[row], drawn, wanted.cells)
                for row, drawn in zip(rows, draws, strict=True)
            ]
        )

    def _drawn(self, epoch: int, place: int) -> Drawn:
        random = np.random.default_rng((self.seed, epoch, place))
        return self.augmentation.draw(random, self.squares.shape[1:], self.input_shape)


def network_inputs(
    squares: FloatArray, rows: Rows, normalization: Normalization, batch_size: int
) -> Iterator[FloatArray]:
    """The chosen ones of squares in [0, 1], (all, rows, columns), as network input, in order."""
    for start in range(0, len(rows), batch_size):
        chosen = np.asarray(squares[rows[start : start + batch_size]])
        yield to_network_input(chosen, normalization)


def shuffled_places(fractured: Labels, random: np.random.Generator, *, oversampling: bool) -> Rows:
    """What an epoch shows, in its order: every place of `fractured`, and with `oversampling` those
    of the rarer class as often as both are then equally many."""
    places = np.arange(len(fractured))
    if oversampling:
        places = np.concatenate([places, _missing_of_the_rarer(fractured, random)])
    return random.permutation(places)


def inverse_frequency(shown: Labels) -> npt.NDArray[np.float32]:
    """Class weights of other and fractured radiographs; their mean over what is shown is 1."""
    share = float(shown.mean())
    return np.array([0.5 / (1.0 - share), 0.5 / share], np.float32)


def _missing_of_the_rarer(fractured: Labels, random: np.random.Generator) -> Rows:
    """Places of the rarer class to show again, each as often as any other or once more."""
    rarer = np.flatnonzero(fractured == (fractured.mean() < 0.5))
    whole, rest = divmod(len(fractured) - 2 * len(rarer), len(rarer))
    return np.concatenate([np.tile(rarer, whole), random.choice(rarer, rest, replace=False)])
