"""Random geometry: within its bounds, reproducible, and the right way round."""

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.prediction import FloatArray
from training.augmentation import Augmentation

NOTHING = Augmentation(0.0, 0.0, 0.0, horizontal_flip=False, vertical_flip=False)
SEEDS = range(20)


@pytest.mark.parametrize("size", [1, 2, 32, 33])
def test_without_bounds_and_flips_nothing_changes(size: int) -> None:
    square = _noise(size)
    for seed in SEEDS:
        assert np.array_equal(_apply(NOTHING, square, np.random.default_rng(seed)), square)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_augmented_picture_stays_between_zero_and_one(seed: int) -> None:
    augmented = _apply(Augmentation(), _noise(48), np.random.default_rng(seed))
    assert augmented.shape == (48, 48)
    assert augmented.dtype == np.float32
    assert augmented.min() >= 0.0
    assert augmented.max() <= 1.0


def test_the_same_seed_augments_the_same_and_another_seed_otherwise() -> None:
    square = _noise(48)
    first = _apply(Augmentation(), square, np.random.default_rng(4))
    assert np.array_equal(first, _apply(Augmentation(), square, np.random.default_rng(4)))
    assert not np.array_equal(first, _apply(Augmentation(), square, np.random.default_rng(5)))


def test_the_picture_that_is_augmented_is_left_as_it_was() -> None:
    square = _noise(48)
    before = square.copy()
    _apply(Augmentation(), square, np.random.default_rng(4))
    assert np.array_equal(square, before)


@pytest.mark.parametrize("size", [32, 33])
def test_a_marker_follows_a_horizontal_flip(size: int) -> None:
    seen = _places_of_marker(
        Augmentation(0.0, 0.0, 0.0, horizontal_flip=True, vertical_flip=False), size, (3, 5)
    )
    assert seen == {(3, 5), (3, size - 1 - 5)}


@pytest.mark.parametrize("size", [32, 33])
def test_a_marker_follows_a_vertical_flip(size: int) -> None:
    seen = _places_of_marker(
        Augmentation(0.0, 0.0, 0.0, horizontal_flip=False, vertical_flip=True), size, (3, 5)
    )
    assert seen == {(3, 5), (size - 1 - 3, 5)}


def test_flips_happen_about_every_second_time() -> None:
    augmentation = Augmentation(0.0, 0.0, 0.0, horizontal_flip=True, vertical_flip=False)
    square = _noise(8)
    random = np.random.default_rng(0)
    kept = sum(np.array_equal(_apply(augmentation, square, random), square) for _ in range(400))
    assert 160 < kept < 240


def test_a_rotation_keeps_the_centre_and_the_distance_and_its_bound() -> None:
    augmentation = Augmentation(20.0, 0.0, 0.0, horizontal_flip=False, vertical_flip=False)
    angles = []
    for seed in range(60):
        square = _spot(65, (32, 52))  # 20 pixels to the right of the centre
        row, column = _centre_of_mass(_apply(augmentation, square, np.random.default_rng(seed)))
        assert math.hypot(row - 32, column - 32) == pytest.approx(20, abs=0.2)
        angles.append(math.degrees(math.atan2(row - 32, column - 32)))
    assert max(abs(angle) for angle in angles) < 20.5
    assert min(angles) < -10
    assert max(angles) > 10


def test_zoom_moves_a_marker_along_its_ray_within_its_bound() -> None:
    augmentation = Augmentation(0.0, 0.0, 0.15, horizontal_flip=False, vertical_flip=False)
    stretches = []
    for seed in range(60):
        square = _spot(65, (32, 52))
        row, column = _centre_of_mass(_apply(augmentation, square, np.random.default_rng(seed)))
        assert row == pytest.approx(32, abs=0.1)
        stretches.append((column - 32) / 20)
    assert 0.84 < min(stretches) < 0.92
    assert 1.08 < max(stretches) < 1.16


def test_shear_moves_rows_against_each_other_within_its_bound() -> None:
    augmentation = Augmentation(0.0, 8.0, 0.0, horizontal_flip=False, vertical_flip=False)
    angles = []
    for seed in range(60):
        square = _spot(65, (52, 32))
        row, column = _centre_of_mass(_apply(augmentation, square, np.random.default_rng(seed)))
        assert row == pytest.approx(52, abs=0.1)
        angles.append(math.degrees(math.atan2(column - 32, row - 32)))
    assert max(abs(angle) for angle in angles) < 8.2
    assert max(angles) > 4
    assert min(angles) < -4


@pytest.mark.parametrize("size", [8, 224])
def test_a_picture_of_twice_the_size_is_averaged_down_where_nothing_moves(size: int) -> None:
    square = _noise(2 * size)
    averaged = square.reshape(size, 2, size, 2).mean(axis=(1, 3))
    assert _apply(NOTHING, square, np.random.default_rng(1), size) == pytest.approx(
        averaged, abs=1e-6
    )


def test_a_smaller_result_shows_the_same_as_a_full_one_averaged_down() -> None:
    square = cv2.GaussianBlur(_noise(128), (0, 0), 4)
    for seed in SEEDS:
        full = _apply(Augmentation(), square, np.random.default_rng(seed))
        half = _apply(Augmentation(), square, np.random.default_rng(seed), 64)
        averaged = full.reshape(64, 2, 64, 2).mean(axis=(1, 3))
        assert np.abs(half - averaged).mean() < 0.01


def test_bytes_are_augmented_as_the_grey_values_that_they_stand_for() -> None:
    square = np.round(_noise(48) * 255).astype(np.uint8)
    for seed in SEEDS:
        of_bytes = _apply(Augmentation(), square, np.random.default_rng(seed))
        of_floats = _apply(
            Augmentation(), (square / 255).astype(np.float32), np.random.default_rng(seed)
        )
        assert of_bytes == pytest.approx(of_floats, abs=0.01)


def test_a_shift_moves_a_marker_within_its_bound() -> None:
    augmentation = replace(NOTHING, shift=0.1)
    moves = []
    for seed in range(60):
        square = _spot(65, (32, 32))
        row, column = _centre_of_mass(_apply(augmentation, square, np.random.default_rng(seed)))
        moves += [row - 32, column - 32]
    assert max(np.abs(moves)) <= 6.6
    assert min(moves) < -4
    assert max(moves) > 4


def test_brightness_scales_grey_values_and_leaves_the_border_black() -> None:
    augmentation = replace(NOTHING, brightness=0.2)
    square = np.zeros((8, 8), np.float32)
    square[2:6, 2:6] = np.linspace(0.1, 0.7, 16).reshape(4, 4)
    gains = []
    for seed in SEEDS:
        changed = _apply(augmentation, square, np.random.default_rng(seed))
        assert not changed[square == 0].any()
        gain = changed[square > 0] / square[square > 0]
        assert np.ptp(gain) < 1e-5
        gains.append(gain[0])
    assert 0.8 <= min(gains) < 0.9
    assert 1.1 < max(gains) <= 1.2


def test_contrast_spreads_grey_values_about_their_mean_and_leaves_the_border_black() -> None:
    augmentation = replace(NOTHING, contrast=0.2)
    square = np.zeros((8, 8), np.float32)
    square[2:6, 2:6] = np.linspace(0.2, 0.6, 16).reshape(4, 4)
    spreads = []
    for seed in SEEDS:
        changed = _apply(augmentation, square, np.random.default_rng(seed))
        assert not changed[square == 0].any()
        shown = changed[square > 0]
        assert shown.mean() == pytest.approx(0.4, abs=1e-5)
        spreads.append(np.ptp(shown) / 0.4)
    assert 0.8 <= min(spreads) < 0.9
    assert 1.1 < max(spreads) <= 1.2


def test_grey_values_stay_between_zero_and_one() -> None:
    augmentation = replace(NOTHING, brightness=0.9, contrast=0.9)
    for seed in SEEDS:
        changed = _apply(augmentation, _noise(16), np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert changed.min() >= 0.0
        assert changed.max() <= 1.0


def test_what_is_marked_in_a_picture_moves_with_it() -> None:
    """A corner of a box by the matrix, as a spot in the picture."""
    augmentation = Augmentation(shift=0.1)
    for seed in SEEDS:
        drawn = augmentation.draw(np.random.default_rng(seed), (64, 64), (32, 32))
        spot = cv2.GaussianBlur(_spot(64, (36, 26)), (0, 0), 1.5)
        row, column = _centre_of_mass(drawn.apply(spot))
        assert (column, row) == pytest.approx(drawn.matrix @ [26, 36, 1], abs=0.3)


def _apply(
    augmentation: Augmentation,
    square: FloatArray | npt.NDArray[np.uint8],
    random: np.random.Generator,
    size: int | None = None,
) -> FloatArray:
    rows, columns = square.shape
    return augmentation.draw(random, (rows, columns), (size or rows, size or columns)).apply(square)


def _noise(size: int) -> FloatArray:
    square = np.random.default_rng(1).random((size, size), np.float32)
    square[0, 0] = 1.0
    return square


def _spot(size: int, at: tuple[int, int]) -> FloatArray:
    row, column = np.mgrid[0:size, 0:size]
    distance = (row - at[0]) ** 2 + (column - at[1]) ** 2
    return np.asarray(np.exp(-distance / 4), np.float32)


def _centre_of_mass(square: FloatArray) -> tuple[float, float]:
    row, column = np.mgrid[0 : square.shape[0], 0 : square.shape[1]]
    return float((row * square).sum() / square.sum()), float((column * square).sum() / square.sum())


def _places_of_marker(
    augmentation: Augmentation, size: int, at: tuple[int, int]
) -> set[tuple[int, int]]:
    square = np.zeros((size, size), np.float32)
    square[at] = 1.0
    seen = set()
    for seed in SEEDS:
        augmented = _apply(augmentation, square, np.random.default_rng(seed))
        assert augmented.sum() == 1.0
        row, column = np.unravel_index(int(augmented.argmax()), augmented.shape)
        seen.add((int(row), int(column)))
    return seen
