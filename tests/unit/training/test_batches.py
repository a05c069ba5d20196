"""Batches: complete, reproducible epochs, prepared as serving prepares."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.preprocessing import Preprocessing, letterbox, to_network_input
from training.augmentation import Augmentation
from training.batches import CACHE_SCALE, AugmentedBatches, cache_radiographs, serving_inputs
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError

NOTHING = Augmentation(0.0, 0.0, 0.0, horizontal_flip=False, vertical_flip=False)
COUNT = 10
LABELS = np.arange(COUNT, dtype=np.float32)
"""Not 0 and 1, so that a test sees which radiograph it got."""


@pytest.fixture
def pictures(tmp_path: Path) -> list[Example]:
    random = np.random.default_rng(1)
    examples = []
    for number, shape in enumerate([(40, 20), (20, 40), (200, 100)]):
        smooth = cv2.resize(random.random((6, 6)), shape[::-1], interpolation=cv2.INTER_CUBIC)
        grey = (np.clip(smooth, 0, 1) * 255).astype(np.uint8)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), grey)
        examples.append(Example(path, False, ()))
    return examples


def test_an_epoch_holds_every_radiograph_once_with_its_own_label() -> None:
    batches = _make_batches(NOTHING, batch_size=4)
    assert len(batches) == 3
    seen = [batches[index] for index in range(len(batches))]
    assert [len(labels) for _, labels in seen] == [4, 4, 2]
    labels = np.concatenate([labels for _, labels in seen])
    assert sorted(labels) == list(LABELS)
    for inputs, own_labels in seen:
        assert inputs.dtype == np.float32
        assert inputs.shape[1:] == (4, 4, 3)
        for picture, label in zip(inputs, own_labels, strict=True):
            assert (picture + 1) / 2 == pytest.approx(label * 20 / 255, abs=1e-6)


def test_epochs_of_one_seed_are_the_same_in_every_run() -> None:
    first, second = (_epochs(_make_batches(Augmentation(), batch_size=4), 3) for _ in range(2))
    for (inputs, labels), (same_inputs, same_labels) in zip(first, second, strict=True):
        assert np.array_equal(inputs, same_inputs)
        assert np.array_equal(labels, same_labels)


def test_every_epoch_is_complete_and_in_another_order() -> None:
    (_, first), (_, second) = _epochs(_make_batches(NOTHING, batch_size=COUNT), 2)
    assert sorted(first) == sorted(second) == list(LABELS)
    assert list(first) != list(second)


def test_every_epoch_every_batch_and_every_radiograph_is_augmented_otherwise() -> None:
    """Of ten radiographs that are one and the same, no two augmented ones are."""
    noise = np.random.default_rng(1).integers(0, 256, (16, 16), np.uint8)
    batches = AugmentedBatches(
        np.stack([noise] * COUNT), LABELS, Augmentation(), batch_size=4, seed=1
    )
    inputs = np.concatenate([inputs for inputs, _ in _epochs(batches, 2)])
    assert len({picture.tobytes() for picture in inputs}) == 2 * COUNT


def test_a_run_that_goes_on_gets_the_epochs_it_would_have_had() -> None:
    straight = _epochs(_make_batches(Augmentation(), batch_size=4), 3)
    gone_on = _epochs(_make_batches(Augmentation(), batch_size=4, first_epoch=2), 1)
    for (inputs, labels), (same_inputs, same_labels) in zip(straight[6:], gone_on, strict=True):
        assert np.array_equal(inputs, same_inputs)
        assert np.array_equal(labels, same_labels)


def test_another_seed_gives_another_order() -> None:
    orders = {
        tuple(_make_batches(NOTHING, batch_size=COUNT, seed=seed)[0][1].tolist())
        for seed in range(5)
    }
    assert len(orders) == 5


def test_a_batch_may_be_asked_for_out_of_order_and_again() -> None:
    batches = _make_batches(Augmentation(), batch_size=4)
    inputs, labels = batches[2]
    _ = batches[0]
    assert np.array_equal(batches[2][0], inputs)
    assert np.array_equal(batches[2][1], labels)


def test_the_cache_holds_prepared_radiographs_at_twice_the_size(pictures: list[Example]) -> None:
    preprocessing = Preprocessing(input_size=16)
    ticks: list[None] = []
    cache = cache_radiographs(pictures, preprocessing, lambda: ticks.append(None))
    assert cache.shape == (3, CACHE_SCALE * 16, CACHE_SCALE * 16)
    assert cache.dtype == np.uint8
    assert len(ticks) == 3
    for row, example in enumerate(pictures):
        square, _ = letterbox(read_pixels(example.path), preprocessing, CACHE_SCALE * 16)
        assert np.abs(cache[row] / 255 - square).max() <= 0.51 / 255


def test_training_and_serving_meet_where_nothing_is_augmented(pictures: list[Example]) -> None:
    """One is averaged down from twice the size, the other made at the size: nearly the same."""
    preprocessing = Preprocessing(input_size=32)
    cache = cache_radiographs(pictures, preprocessing)
    batches = AugmentedBatches(cache, np.arange(3, dtype=np.float32), NOTHING, batch_size=3, seed=1)
    inputs, order = batches[0]
    served = serving_inputs(pictures, preprocessing)[order.astype(int)]
    assert np.abs(inputs - served).mean() < 0.03
    for mine, theirs in zip(inputs, served, strict=True):
        assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.99


def test_serving_inputs_are_what_the_classifier_makes(pictures: list[Example]) -> None:
    preprocessing = Preprocessing(input_size=32)
    inputs = serving_inputs(pictures, preprocessing)
    assert inputs.shape == (3, 32, 32, 3)
    for row, example in enumerate(pictures):
        square, _ = letterbox(read_pixels(example.path), preprocessing)
        assert np.array_equal(inputs[row], to_network_input(square))


def test_a_missing_picture_is_named(pictures: list[Example], tmp_path: Path) -> None:
    missing = Example(tmp_path / "nowhere.png", False, ())
    for read in (cache_radiographs, serving_inputs):
        with pytest.raises(DataError, match=r"nowhere\.png"):
            read([*pictures, missing], Preprocessing(input_size=16))


def _make_batches(
    augmentation: Augmentation, *, batch_size: int, seed: int = 1, first_epoch: int = 0
) -> AugmentedBatches:
    """Ten flat pictures, each as bright as its label says."""
    cache = np.zeros((COUNT, 8, 8), np.uint8) + (20 * LABELS.astype(np.uint8))[:, None, None]
    return AugmentedBatches(
        cache, LABELS, augmentation, batch_size=batch_size, seed=seed, first_epoch=first_epoch
    )


def _epochs(
    batches: AugmentedBatches, count: int
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    seen = []
    for _ in range(count):
        seen += [batches[index] for index in range(len(batches))]
        batches.on_epoch_end()
    return seen
