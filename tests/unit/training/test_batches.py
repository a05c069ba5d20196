"""Batches: complete, reproducible epochs, prepared as serving prepares."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.preprocessing import Normalization, Preprocessing, to_network_input
from training.augmentation import Augmentation
from training.batches import AHEAD, AugmentedBatches, Batch, network_inputs
from training.cache import serving_squares, training_squares
from training.data.example import Example

NOTHING = Augmentation(0.0, 0.0, 0.0, horizontal_flip=False, vertical_flip=False)
COUNT = 10
FRACTURED = np.arange(COUNT) < 3


def test_an_epoch_holds_every_radiograph_once_with_its_own_label() -> None:
    batches = make_batches(batch_size=4)
    seen = list(batches.epoch(0))
    assert len(batches) == len(seen) == 3
    assert [len(batch.fractured) for batch in seen] == [4, 4, 2]
    assert all(batch.inputs.dtype == np.float32 for batch in seen)
    assert all(batch.inputs.shape[1:] == (4, 4, 3) for batch in seen)
    shown = _numbers(seen)
    assert sorted(shown) == list(range(COUNT))
    assert list(FRACTURED[shown]) == _labels(seen)


def test_an_epoch_of_a_seed_is_the_same_in_every_run_and_whatever_came_before() -> None:
    first = list(make_batches(Augmentation(), batch_size=4).epoch(3))
    other_run = make_batches(Augmentation(), batch_size=4)
    _ = list(other_run.epoch(0))
    next(other_run.epoch(1))  # left in its middle, as by a kill
    for batch, same in zip(first, other_run.epoch(3), strict=True):
        assert np.array_equal(batch.inputs, same.inputs)
        assert np.array_equal(batch.fractured, same.fractured)


def test_every_epoch_and_every_seed_has_another_order() -> None:
    orders = {
        tuple(_numbers(make_batches(seed=seed).epoch(epoch)))
        for seed in range(3)
        for epoch in (0, 1)
    }
    assert len(orders) == 6
    assert all(sorted(order) == list(range(COUNT)) for order in orders)


def test_every_epoch_every_batch_and_every_radiograph_is_augmented_otherwise() -> None:
    """Of ten radiographs that are one and the same, no two augmented ones are."""
    picture = np.random.default_rng(2).integers(0, 255, (8, 8)).astype(np.uint8)
    batches = make_batches(
        Augmentation(), squares=np.repeat(picture[np.newaxis], COUNT, axis=0), batch_size=4
    )
    pictures = [one.tobytes() for epoch in (0, 1) for b in batches.epoch(epoch) for one in b.inputs]
    assert len(set(pictures)) == 2 * COUNT


def test_few_batches_are_prepared_ahead_and_none_is_after_the_caller_has_left() -> None:
    read: list[int] = []

    class Watched(np.ndarray):  # type: ignore[type-arg]
        def __getitem__(self, key: object) -> object:
            read.append(1)
            return np.asarray(super().__getitem__(key))  # type: ignore[index]

    squares = np.zeros((100, 8, 8), np.uint8).view(Watched)
    batches = make_batches(squares=squares, fractured=np.arange(100) < 50, batch_size=1)
    epoch = batches.epoch(0)
    next(epoch)
    epoch.close()
    assert len(read) <= AHEAD
    assert len(batches) == 100


def test_oversampling_shows_both_classes_equally_often_and_nothing_less_than_once() -> None:
    batches = make_batches(oversampling=True, batch_size=4)
    drawn = []
    for epoch in range(6):
        seen = list(batches.epoch(epoch))
        assert len(seen) == len(batches) == 4
        shown = _numbers(seen)
        assert sum(_labels(seen)) == 7
        assert set(shown) == set(range(COUNT))
        counts = np.bincount(shown)
        assert set(counts[~FRACTURED]) == {1}
        assert set(counts[FRACTURED]) == {2, 3}
        drawn.append(tuple(counts))
    assert len(set(drawn)) > 1


def test_oversampling_works_whichever_class_is_the_rarer_and_leaves_equal_ones_alone() -> None:
    for fractured, shown in ((~FRACTURED, 14), (np.arange(COUNT) < 5, COUNT)):
        batches = make_batches(fractured=fractured, oversampling=True)
        labels = _labels(batches.epoch(0))
        assert (len(labels), sum(labels)) == (shown, shown / 2)


def test_class_weights_make_both_classes_count_alike_and_are_one_where_they_do() -> None:
    weights = make_batches().class_weights()
    assert weights == pytest.approx([0.5 / 0.7, 0.5 / 0.3])
    assert weights[FRACTURED.astype(int)].mean() == pytest.approx(1.0)
    assert make_batches(oversampling=True).class_weights() == pytest.approx([1.0, 1.0])


def test_training_and_serving_meet_where_nothing_is_augmented(tmp_path: Path) -> None:
    """One is averaged down from twice the size, the other made at the size: nearly the same."""
    preprocessing = Preprocessing(32, normalization=Normalization.IMAGENET)
    pictures = draw_pictures(tmp_path)
    batches = make_batches(
        squares=training_squares(pictures, preprocessing, tmp_path),
        fractured=np.array([True, False, False]),
        normalization=preprocessing.normalization,
    )
    served = to_network_input(
        np.asarray(serving_squares(pictures, preprocessing, tmp_path)), preprocessing.normalization
    )
    (batch,) = batches.epoch(0)
    for mine in batch.inputs:
        nearest = min(np.abs(mine - theirs).mean() for theirs in served)
        assert nearest < 0.03 / 0.225
    assert batch.inputs.min() == pytest.approx(served.min())


def test_an_epoch_shows_the_rows_of_its_part_only() -> None:
    rows = np.array([8, 1, 5])
    batches = make_batches(rows=rows, fractured=np.array([True, False, True]))
    seen = list(batches.epoch(0))
    shown = _numbers(seen)
    assert sorted(shown) == [1, 5, 8]
    assert _labels(seen) == [number != 1 for number in shown]


def test_inputs_come_batch_by_batch_and_in_the_order_of_their_rows() -> None:
    squares = np.random.default_rng(3).random((9, 4, 4), np.float32)
    rows = np.array([8, 1, 2, 3, 0, 5, 7])
    batches = list(network_inputs(squares, rows, Normalization.CAFFE, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    expected = to_network_input(squares[rows], Normalization.CAFFE)
    assert np.array_equal(np.concatenate(batches), expected)


def draw_pictures(folder: Path) -> list[Example]:
    random = np.random.default_rng(1)
    examples = []
    for number, shape in enumerate([(40, 20), (20, 40), (200, 100)]):
        smooth = cv2.resize(random.random((6, 6)), shape[::-1], interpolation=cv2.INTER_CUBIC)
        grey = (np.clip(smooth, 0, 1) * 255).astype(np.uint8)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), grey)
        examples.append(Example(path, False, ()))
    return examples


def make_batches(
    augmentation: Augmentation = NOTHING,
    *,
    squares: npt.NDArray[np.uint8] | None = None,
    rows: npt.NDArray[np.int64] | None = None,
    fractured: npt.NDArray[np.bool_] = FRACTURED,
    normalization: Normalization = Normalization.SYMMETRIC,
    batch_size: int = 4,
    oversampling: bool = False,
    seed: int = 1,
) -> AugmentedBatches:
    """Ten flat pictures, the first three fractured, each as bright as its number says."""
    flat = (
        np.zeros((COUNT, 8, 8), np.uint8) + (20 * np.arange(COUNT, dtype=np.uint8))[:, None, None]
    )
    return AugmentedBatches(
        flat if squares is None else squares,
        np.arange(len(fractured)) if rows is None else rows,
        fractured,
        augmentation,
        normalization,
        input_shape=(4, 4) if squares is None else (squares.shape[1] // 2, squares.shape[2] // 2),
        batch_size=batch_size,
        oversampling=oversampling,
        seed=seed,
    )


def _numbers(batches: Iterable[Batch]) -> list[int]:
    """Of flat pictures, by their shade."""
    return [round(float((one.mean() + 1) / 2 * 255 / 20)) for b in batches for one in b.inputs]


def _labels(batches: Iterable[Batch]) -> list[bool]:
    return [bool(label) for batch in batches for label in batch.fractured]
