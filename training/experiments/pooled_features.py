"""What a frozen backbone says of every radiograph, computed once: pooled features on disk.

A head behind global average pooling sees nothing else, so it trains on these as the whole network
would: plain for validation and test, of augmented copies for training. Only what is asked for is
computed; what was computed when a run is killed stays.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from models.architectures import POOLED_LAYER, KerasModel
from models.prediction import FloatArray
from models.preprocessing import to_network_input
from models.pretrained import build_pretrained
from training.batches import Rows
from training.cache import serving_squares, training_squares
from training.data.example import LabelledFolder
from training.data.fingerprints import file_sha256
from training.errors import DataError, RunError
from training.progress import Progress, Report, counting
from training.recipe import Recipe

BATCH = 32


class PooledFeatures:
    """Of all radiographs of a folder, by a recipe's backbone, preprocessing and augmentation."""

    def __init__(
        self,
        data: LabelledFolder,
        recipe: Recipe,
        weights: Path | None,
        cache: Path,
        report: Report,
    ) -> None:
        self.data, self.recipe, self.weights = data, recipe, weights
        self.report = report
        self._cache = cache
        self._folder = cache / f"pooled-{self._key()}"

    @cached_property
    def network(self) -> KerasModel:
        """The whole network, its head untrained; None of it is built before it is needed."""
        keras.utils.set_random_seed(self.recipe.seed)
        network, _ = build_pretrained(self.recipe.architecture, self.weights)
        return network

    @cached_property
    def serving_squares(self) -> FloatArray:
        """As serving makes them, (all, size, size)."""
        tick = counting("reading radiographs to serve", len(self.data.examples), self.report)
        return serving_squares(self.data.examples, self.recipe.preprocessing, self._cache, tick)

    def plain(self, rows: Rows) -> FloatArray:
        """Features (n, channels) of radiographs as serving shows them."""
        return np.asarray(self._computed({"plain": rows})["plain"][rows])

    def copies(self, counts: npt.NDArray[np.int64]) -> list[FloatArray]:
        """Augmented copy 0, 1, … of all radiographs, (all, channels) each, memory-mapped.

        `counts` (all) says how many copies of each are wanted; what is not wanted may be NaN.
        """
        wanted = {
            f"copy-{copy:03d}": np.flatnonzero(counts > copy) for copy in range(int(counts.max()))
        }
        return list(self._computed(wanted).values())

    def _computed(self, wanted: dict[str, Rows]) -> dict[str, FloatArray]:
        missing = {name: self._missing(name, rows) for name, rows in wanted.items()}
        total, done = sum(len(rows) for rows in missing.values()), 0
        for name, rows in missing.items():
            for start in range(0, len(rows), BATCH):
                chosen = rows[start : start + BATCH]
                self._compute(name, chosen)
                done += len(chosen)
                self.report(Progress("computing pooled features", done, total, name))
        return {name: self._open(name) for name in wanted}

    def _missing(self, name: str, rows: Rows) -> Rows:
        if not self._path(name).is_file():
            return rows
        known = np.isfinite(self._open(name)[rows]).all(axis=1)
        missing: Rows = rows[~known]
        return missing

    def _compute(self, name: str, rows: Rows) -> None:
        squares = self._augmented(name, rows) if name != "plain" else self.serving_squares[rows]
        inputs = to_network_input(np.asarray(squares), self.recipe.preprocessing.normalization)
        features = np.asarray(self._backbone.predict_on_batch(inputs), np.float32)
        if not np.isfinite(features).all():
            raise RunError("the backbone's features are not finite numbers: are its weights sound?")
        stored = self._open(name, for_writing=True)
        stored[rows] = features
        stored.flush()  # type: ignore[attr-defined]  # a memory map

    def _augmented(self, name: str, rows: Rows) -> FloatArray:
        """Each copy is drawn by (seed, copy, place among the radiographs) alone."""
        copy, augmentation = int(name.removeprefix("copy-")), self.recipe.augmentation
        shape, squares = self.recipe.preprocessing.shape, self._training_squares
        return np.stack(
            [
                augmentation.draw(
                    np.random.default_rng((self.recipe.seed, copy, int(row))),
                    squares.shape[1:],
                    shape,
                ).apply(squares[row])
                for row in rows
            ]
        )

    @cached_property
    def _backbone(self) -> KerasModel:
        network = self.network
        return keras.Model(network.input, network.get_layer(POOLED_LAYER).output)

    @cached_property
    def _training_squares(self) -> npt.NDArray[np.uint8]:
        tick = counting("reading radiographs to train", len(self.data.examples), self.report)
        return training_squares(self.data.examples, self.recipe.preprocessing, self._cache, tick)

    def _open(self, name: str, *, for_writing: bool = False) -> FloatArray:
        """(all, channels); rows that were not computed yet are NaN."""
        path = self._path(name)
        if not path.is_file():
            self._make(path)
        opened: FloatArray = np.load(
            path, mmap_mode="r+" if for_writing else "r", allow_pickle=False
        )
        return opened

    def _make(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = int(self._backbone.output.shape[-1])
        unfinished = path.with_name(f"unfinished-{path.name}")
        np.save(unfinished, np.full((len(self.data.examples), channels), np.nan, np.float32))
        unfinished.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _key(self) -> str:
        """All that features depend on."""
        recipe = self.recipe
        architecture = recipe.architecture
        made_from = [
            [architecture.name, architecture.shape, architecture.features_from],
            asdict(recipe.preprocessing),
            asdict(recipe.augmentation),
            recipe.seed,
            weights_digest(self.weights),
            [file_sha256(example.path) for example in self.data.examples],
        ]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:32]


def weights_digest(path: Path | None) -> str:
    """SHA-256 (hex) of a file of weights, empty without one.

    Raises:
        DataError: it is missing.
    """
    if path is not None and not path.is_file():
        raise DataError(f"{path} is missing; it was named as pretrained weights")
    return "" if path is None else file_sha256(path)


def copies_per_radiograph(
    fractured: Sequence[bool] | npt.NDArray[np.bool_], copies: int
) -> npt.NDArray[np.int64]:
    """Copies (n) of each: `copies` of the commoner class, and of the rarer so many more as it is
    shown more often when both are made equal."""
    labels = np.asarray(fractured, np.bool_)
    fractured_is_rarer = labels.mean() < 0.5
    rarer = labels == fractured_is_rarer
    ratio = -(-int(np.count_nonzero(~rarer)) // max(1, int(np.count_nonzero(rarer))))
    return np.where(rarer, copies * ratio, copies)
