"""What is cut from a radiograph's borders, and how maps of the rest find their way back."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.framing import MARGIN, Frame, content_frame
from models.prediction import FloatArray


def make_plate(rows: int = 1000, columns: int = 800, seed: int = 1) -> FloatArray:
    """An empty plate: a slope of grey, stripes and noise."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0.10, 0.14, columns)[np.newaxis, :] + np.zeros((rows, 1))
    stripes = 0.004 * (np.arange(columns) // 7 % 2)
    return np.asarray(slope + stripes + random.normal(0, 0.004, (rows, columns)), np.float32)


def with_limb(plate: FloatArray, top: int, left: int, bottom: int, right: int) -> FloatArray:
    """A limb with a bone in it."""
    shown, width = plate.copy(), right - left
    shown[top:bottom, left:right] += 0.25
    shown[top:bottom, left + width // 3 : right - width // 3] += 0.4
    return np.asarray(np.clip(cv2.GaussianBlur(shown, (0, 0), 3), 0, 1), np.float32)


def test_an_empty_border_is_cut_away_and_the_limb_is_not() -> None:
    frame = content_frame(with_limb(make_plate(), 200, 300, 700, 450))
    margin = MARGIN * 1000
    for found, edge in (
        (frame.top, 200 - margin),
        (frame.left, 300 - margin),
        (frame.top + frame.rows, 700 + margin),
        (frame.left + frame.columns, 450 + margin),
    ):
        assert found == pytest.approx(edge, abs=25)
    assert frame.top < 200 - margin / 2
    assert frame.left + frame.columns > 450 + margin / 2


def test_a_limb_that_leaves_the_plate_is_kept_up_to_its_border() -> None:
    frame = content_frame(with_limb(make_plate(), 0, 300, 700, 450))
    assert frame.top == 0
    assert frame.rows < 800


@pytest.mark.parametrize("border", [np.s_[:40], np.s_[-30:], np.s_[:, :25], np.s_[:, -30:]])
def test_a_bright_strip_of_the_plate_is_not_a_limb(border: tuple[slice, ...]) -> None:
    plate = with_limb(make_plate(), 200, 300, 700, 450)
    expected = content_frame(plate)
    plate[border] = 0.95
    found = content_frame(plate)
    assert found.rows * found.columns == pytest.approx(expected.rows * expected.columns, rel=0.1)


def test_two_views_on_one_plate_are_both_kept() -> None:
    plate = with_limb(with_limb(make_plate(), 150, 100, 700, 250), 200, 550, 800, 700)
    frame = content_frame(plate)
    assert frame.left < 100 < 700 < frame.left + frame.columns
    assert frame.top < 150 < 800 < frame.top + frame.rows


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((300, 200), np.float32), np.full((3, 500), 0.4, np.float32)],
    ids=["black", "one shade"],
)
def test_what_shows_nothing_is_kept_whole(pixels: FloatArray) -> None:
    assert content_frame(pixels) == Frame.whole(*pixels.shape)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 5))
def test_a_frame_lies_in_its_radiograph(rows: int, columns: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = content_frame(random.random((rows, columns), np.float32))
    assert frame.rows >= 1
    assert frame.columns >= 1
    assert 0 <= frame.top <= frame.top + frame.rows <= rows
    assert 0 <= frame.left <= frame.left + frame.columns <= columns


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_cut_out_is_spread_to_where_it_came_from(turned: bool) -> None:
    pixels = np.random.default_rng(1).random((90, 60), np.float32)
    frame = Frame(10, 5, 40, 50, 90, 60, turned)
    assert frame.cut(pixels).shape == frame.shape
    spread = frame.spread(frame.cut(pixels))
    inside = np.s_[10:50, 5:55]
    assert np.array_equal(spread[inside], pixels[inside])
    assert spread.shape == pixels.shape
    assert np.count_nonzero(spread) == 40 * 50


def test_a_coarse_map_is_spread_on_a_grid_as_coarse() -> None:
    values = np.ones((8, 10), np.float32)
    spread = Frame(10, 5, 40, 50, 90, 60).spread(values)
    assert spread.shape == (18, 12)
    assert spread.sum() == 80
    assert spread[2:10, 1:11].all()


def test_a_turned_part_stands_that_lay() -> None:
    pixels = np.zeros((30, 80), np.float32)
    pixels[:, 60:] = 1.0
    stands = Frame(0, 0, 30, 80, 30, 80, turned=True).cut(pixels)
    assert stands[:20].all()
    assert not stands[20:].any()
