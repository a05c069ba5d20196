"""The letterbox's geometry and the percentile stretch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.framing import Frame
from models.prediction import FloatArray
from models.preprocessing import (
    Letterbox,
    Normalization,
    Preprocessing,
    letterbox,
    to_network_input,
)

SIDES = st.integers(1, 6000)
SIZES = st.integers(8, 512)


@given(SIDES, SIDES, SIZES)
def test_a_letterbox_is_centred_inside_the_square_and_fills_it_one_way(
    rows: int, columns: int, size: int
) -> None:
    box = _fit(rows, columns, size)
    bottom, right = size - box.top - box.rows, size - box.left - box.columns
    assert min(box.top, box.left, bottom, right) >= 0
    assert abs(box.top - bottom) <= 1
    assert abs(box.left - right) <= 1
    assert max(box.rows, box.columns) == size
    assert min(box.rows, box.columns) >= 1


@given(SIDES, SIDES, SIZES)
def test_a_letterbox_keeps_the_aspect_to_half_a_pixel(rows: int, columns: int, size: int) -> None:
    box = _fit(rows, columns, size)
    scale = size / max(rows, columns)
    assert abs(box.rows - max(1, rows * scale)) <= 0.5
    assert abs(box.columns - max(1, columns * scale)) <= 0.5


@given(SIDES, SIDES, SIZES)
def test_a_radiograph_on_its_side_gives_the_letterbox_on_its_side(
    rows: int, columns: int, size: int
) -> None:
    box, turned = _fit(rows, columns, size), _fit(columns, rows, size)
    assert (turned.top, turned.left) == (box.left, box.top)
    assert (turned.rows, turned.columns) == (box.columns, box.rows)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        pytest.param(200, 100, (0, 16, 64, 32), id="portrait"),
        pytest.param(100, 200, (16, 0, 32, 64), id="landscape"),
        pytest.param(100, 100, (0, 0, 64, 64), id="square"),
        pytest.param(1, 1, (0, 0, 64, 64), id="one pixel"),
        pytest.param(1, 5000, (31, 0, 1, 64), id="one row"),
        pytest.param(5000, 1, (0, 31, 64, 1), id="one column"),
        pytest.param(3, 2, (0, 10, 64, 43), id="tiny"),
        pytest.param(4280, 3520, (0, 5, 64, 53), id="huge"),
    ],
)
def test_a_radiograph_of_any_size_fills_its_letterbox_and_nothing_else(
    rows: int, columns: int, expected: tuple[int, int, int, int]
) -> None:
    square, box = letterbox(_gradient(rows, columns) + 0.5, Preprocessing(input_size=64))
    assert (box.top, box.left, box.rows, box.columns) == expected
    assert square.shape == (64, 64)
    assert square.dtype == np.float32
    assert square.min() >= 0.0
    assert square.max() <= 1.0
    outside = square.copy()
    box.crop(outside)[:] = 0.0
    assert not outside.any()


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 64))
def test_the_crop_inverts_the_placement(rows: int, columns: int, size: int) -> None:
    box = _fit(rows, columns, size)
    content = np.arange(1, box.rows * box.columns + 1).reshape(box.rows, box.columns)
    square = np.zeros((size, size), np.float32)
    square[box.top : box.top + box.rows, box.left : box.left + box.columns] = content
    assert np.array_equal(box.crop(square), content)
    assert np.count_nonzero(square) == content.size


def test_the_letterboxed_content_is_the_radiograph_the_right_way_round() -> None:
    pixels = np.zeros((40, 80), np.float32)
    pixels[:20, 60:] = 1.0  # the upper right corner
    square, box = letterbox(pixels, Preprocessing(input_size=64))
    content = box.crop(square)
    assert content[:15, 49:].min() == 1.0
    assert content[17:].max() == 0.0
    assert content[:, :47].max() == 0.0


def test_a_view_that_is_not_contiguous_gives_the_same_as_its_copy() -> None:
    pixels = _gradient(50, 31)[::-1, ::-1]
    assert np.array_equal(
        letterbox(pixels, Preprocessing(input_size=32))[0],
        letterbox(pixels.copy(), Preprocessing(input_size=32))[0],
    )


@pytest.mark.parametrize(("offset", "width"), [(0.0, 1.0), (0.25, 0.5), (0.1, 0.2)])
@pytest.mark.parametrize("shape", [(300, 200), (50, 70)], ids=["shrunk", "stretched"])
def test_an_eight_bit_picture_meets_the_same_picture_in_a_window_of_twelve_bits(
    shape: tuple[int, int], offset: float, width: float
) -> None:
    """What training reads from JPEG and what serving reads from CR, to the steps of 8 bits."""
    scene = _texture(*shape)
    eight_bit = np.asarray(np.round(scene * 255) / 255, np.float32)
    stored = np.round((offset + width * scene) * 4095)
    windowed = (stored / 4095).astype(np.float32)
    preprocessing = Preprocessing(input_size=64)
    difference = letterbox(eight_bit, preprocessing)[0] - letterbox(windowed, preprocessing)[0]
    assert np.abs(difference).max() < 1.5 / 255


def test_the_percentiles_become_black_and_white_and_what_is_beyond_is_cut() -> None:
    ramp = np.linspace(0.2, 0.7, 64 * 64, dtype=np.float32).reshape(64, 64)
    ramp[0, 0], ramp[-1, -1] = 0.0, 1.0
    preprocessing = Preprocessing(input_size=64, low_percentile=10.0, high_percentile=80.0)
    square, _ = letterbox(ramp, preprocessing)
    assert np.mean(square == 0.0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(square == 1.0) == pytest.approx(0.2, abs=0.01)


def test_the_border_takes_no_part_in_the_percentiles() -> None:
    """A narrow radiograph is mostly border: its contrast must be that of the same one, square."""
    narrow, _ = letterbox(_texture(400, 40), Preprocessing(input_size=64))
    content = narrow[narrow.any(axis=1)][:, narrow.any(axis=0)]
    assert np.mean(content <= 0.0) == pytest.approx(0.01, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 1e-30])
def test_a_constant_radiograph_gives_zeros_and_no_nan(value: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        square, _ = letterbox(np.full((30, 50), value, np.float32), Preprocessing(input_size=64))
    assert np.array_equal(square, np.zeros((64, 64), np.float32))


def test_the_network_sees_three_equal_channels_from_minus_one_to_one() -> None:
    square = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    batch = to_network_input(np.stack([square, 1 - square]))
    assert batch.shape == (2, 2, 2, 3)
    assert batch.dtype == np.float32
    for channel in range(3):
        assert np.array_equal(batch[0, :, :, channel], [[-1.0, -0.5], [0.0, 1.0]])
        assert np.array_equal(batch[1, :, :, channel], [[1.0, 0.5], [0.0, -1.0]])


@pytest.mark.parametrize(
    ("normalization", "black", "white"),
    [
        (Normalization.SYMMETRIC, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),
        (Normalization.ZERO_TO_ONE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        (Normalization.IMAGENET, (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64)),
        (Normalization.CAFFE, (-103.939, -116.779, -123.68), (151.061, 138.221, 131.32)),
    ],
)
def test_black_and_white_become_what_each_familys_weights_expect(
    normalization: Normalization, black: tuple[float, ...], white: tuple[float, ...]
) -> None:
    batch = to_network_input(np.array([[[0.0, 1.0]]], np.float32), normalization)
    assert batch.dtype == np.float32
    assert batch.shape == (1, 1, 2, 3)
    assert batch[0, 0, 0] == pytest.approx(black, abs=1e-4)
    assert batch[0, 0, 1] == pytest.approx(white, abs=1e-3)


def test_a_normalization_that_is_not_known_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'torch'.*symmetric, zero_to_one, imagenet, caffe"):
        Preprocessing(normalization="torch")  # type: ignore[arg-type]


def test_a_larger_square_is_made_the_same_way_for_the_training_cache() -> None:
    square, box = letterbox(_texture(80, 60), Preprocessing(input_size=32), (128, 128))
    assert square.shape == (128, 128)
    assert box == _fit(80, 60, 128)


def _fit(rows: int, columns: int, size: int) -> Letterbox:
    return Letterbox.fit(Frame.whole(rows, columns), (size, size))


def _gradient(rows: int, columns: int) -> FloatArray:
    grid = np.add.outer(np.arange(rows), np.arange(columns)).astype(np.float32)
    return np.asarray(grid / max(1.0, float(grid.max())) / 2, np.float32)


def _texture(rows: int, columns: int) -> FloatArray:
    """Smooth stripes over the whole range from 0 to 1."""
    row, column = np.mgrid[0:rows, 0:columns]
    waves = np.sin(row / 9.0) + np.cos(column / 7.0)
    return np.asarray((waves - waves.min()) / np.ptp(waves), np.float32)
