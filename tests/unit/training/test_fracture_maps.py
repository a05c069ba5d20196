"""What a fracture map learns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.preprocessing import Framing, Preprocessing, letterbox
from training.augmentation import Augmentation, Drawn
from training.data.example import Box
from training.fracture_maps import boxes_in_square, focal_loss, fracture_cells

SIDE, CELLS = 128, (16, 16)
STILL = Drawn(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (SIDE, SIDE))


def test_boxes_follow_their_radiograph_into_the_square() -> None:
    pixels = np.zeros((100, 60), np.float32)
    pixels[20:40, 30:45] = 1.0
    square, fit = letterbox(pixels, Preprocessing(), (SIDE, SIDE))
    (box,) = boxes_in_square([Box(30, 20, 15, 20)], fit)
    inside = square[
        round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)
    ]
    assert inside.mean() > 0.9
    assert square.sum() == pytest.approx(box.width * box.height, rel=0.1)


@pytest.mark.parametrize("lies", [False, True])
def test_boxes_follow_what_is_framed_and_turned(lies: bool) -> None:
    """A limb on a wide plate, with something bright in it, into an input higher than wide."""
    pixels = np.full((400, 500), 0.1, np.float32)
    pixels[80:330, 200:300] = 0.5
    pixels[120:160, 220:250] = 1.0
    box = Box(220, 120, 30, 40)
    if lies:
        pixels, box = np.ascontiguousarray(pixels.T), Box(120, 220, 40, 30)
    preprocessing = Preprocessing(128, input_columns=64, framing=Framing.CONTENT)
    picture, fit = letterbox(pixels, preprocessing)
    assert fit.frame.turned == lies
    assert fit.rows > 200 * 128 / 500  # finer than the whole plate would be
    (moved,) = boxes_in_square([box], fit)
    marked = np.zeros_like(picture, np.bool_)
    marked[
        round(moved.y) : round(moved.y + moved.height),
        round(moved.x) : round(moved.x + moved.width),
    ] = True
    bright = picture > 0.9
    assert (marked & bright).sum() / (marked | bright).sum() > 0.8


def test_cells_within_the_ellipse_are_marked_and_those_far_off_are_not() -> None:
    cells = fracture_cells([Box(40, 24, 32, 16)], STILL, CELLS)
    assert cells.shape == CELLS
    assert cells[4, 7] == 1.0  # its centre, (56, 32)
    assert cells[10:].max() == 0.0
    # an ellipse fills π / 4 of its box; cells at its rim count up to double
    assert np.pi / 4 * 32 * 16 / 64 <= cells.sum() <= 32 * 16 / 64 * 1.6


def test_without_a_box_nothing_is_marked() -> None:
    assert fracture_cells([], STILL, CELLS).max() == 0.0


def test_a_box_smaller_than_a_cell_is_still_marked() -> None:
    assert fracture_cells([Box(50, 50, 3, 3)], STILL, CELLS).max() > 0.1


@given(seed=st.integers(0, 1000))
def test_what_is_marked_moves_with_the_picture(seed: int) -> None:
    augmentation = Augmentation(shift=0.05)
    drawn = augmentation.draw(np.random.default_rng(seed), (SIDE, SIDE), (SIDE, SIDE))
    picture = np.zeros((SIDE, SIDE), np.float32)
    picture[52:68, 44:60] = 1.0
    moved = drawn.apply(picture)
    cells = fracture_cells([Box(44, 52, 16, 16)], drawn, CELLS)
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    for grid, weights, step in ((rows, moved, 1.0), (columns, moved, 1.0)):
        axis = 0 if grid is rows else 1
        of_picture = (grid * weights).sum() / weights.sum() * step
        places = (np.indices(CELLS)[axis] + 0.5) * SIDE / CELLS[0]
        of_cells = (places * cells).sum() / cells.sum()
        assert abs(of_picture - of_cells) < 4.0


def test_the_loss_is_the_focal_loss_of_all_cells_by_the_fracture_cells() -> None:
    random = np.random.default_rng(0)
    targets = (random.random((3, 4, 4)) > 0.8).astype(np.float32)
    logits = random.normal(size=(3, 4, 4, 1)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits[..., 0].astype(np.float64)))
    right = np.where(targets == 1, p, 1 - p)
    weights = np.where(targets == 1, 0.75, 0.25)
    expected = (-weights * (1 - right) ** 2 * np.log(right)).sum() / (targets.sum() + 4)
    assert float(
        np.mean(np.asarray(focal_loss(targets[..., np.newaxis], logits)))
    ) == pytest.approx(expected, 1e-5)


def test_the_loss_of_cells_that_are_surely_wrong_is_finite() -> None:
    targets = np.ones((1, 2, 2, 1), np.float32)
    loss = np.asarray(focal_loss(targets, np.full((1, 2, 2, 1), -200.0, np.float32)))
    assert np.isfinite(loss).all()
    assert loss[0] > 50
