"""What a fracture map learns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.preprocessing import Preprocessing, letterbox
from training.augmentation import Augmentation, Drawn
from training.data.example import Box
from training.fracture_maps import boxes_in_square, focal_loss, fracture_cells

SIDE, CELLS = 128, 16
STILL = Drawn(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), SIDE)


def test_boxes_follow_their_radiograph_into_the_square() -> None:
    pixels = np.zeros((100, 60), np.float32)
    pixels[20:40, 30:45] = 1.0
    square, _ = letterbox(pixels, Preprocessing(), SIDE)
    (box,) = boxes_in_square([Box(30, 20, 15, 20)], 100, 60, SIDE)
    inside = square[
        round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)
    ]
    assert inside.mean() > 0.9
    assert square.sum() == pytest.approx(box.width * box.height, rel=0.1)


def test_cells_within_the_ellipse_are_marked_and_those_far_off_are_not() -> None:
    cells = fracture_cells([Box(40, 24, 32, 16)], STILL, CELLS)
    assert cells.shape == (CELLS, CELLS)
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
    drawn = augmentation.draw(np.random.default_rng(seed), SIDE, SIDE)
    picture = np.zeros((SIDE, SIDE), np.float32)
    picture[52:68, 44:60] = 1.0
    moved = drawn.apply(picture)
    cells = fracture_cells([Box(44, 52, 16, 16)], drawn, CELLS)
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    for grid, weights, step in ((rows, moved, 1.0), (columns, moved, 1.0)):
        axis = 0 if grid is rows else 1
        of_picture = (grid * weights).sum() / weights.sum() * step
        places = (np.indices((CELLS, CELLS))[axis] + 0.5) * SIDE / CELLS
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
