"""Saliency maps against fracture boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.prediction import SaliencyMap
from training.data.example import Box
from training.explanation.localisation import box_coverage, localise

ROWS, COLUMNS = 100, 200
BOX = Box(x=20, y=30, width=40, height=20)


def saliency(values: np.ndarray) -> SaliencyMap:
    return SaliencyMap(values.astype(np.float32), "Grad-CAM++", "features")


def spot(row: int, column: int) -> SaliencyMap:
    """A map on a 10 × 20 grid (cells of 10 × 10 pixels) with one cell marked."""
    values = np.zeros((10, 20))
    values[row, column] = 1.0
    return saliency(values)


def test_a_map_on_the_box_gets_all_its_energy_there() -> None:
    found = localise(spot(3, 4), [BOX], ROWS, COLUMNS)
    assert found.peak_in_box
    assert found.energy_in_box == pytest.approx(1.0)
    assert found.iou == pytest.approx(1 / 8)


def test_a_map_beside_the_box_gets_nothing() -> None:
    found = localise(spot(8, 15), [BOX], ROWS, COLUMNS)
    assert (found.peak_in_box, found.energy_in_box, found.iou) == (False, 0.0, 0.0)


def test_any_of_several_boxes_may_hold_the_peak() -> None:
    other = Box(x=150, y=80, width=10, height=10)
    assert localise(spot(8, 15), [BOX, other], ROWS, COLUMNS).peak_in_box


def test_a_flat_map_gets_the_share_of_the_area() -> None:
    found = localise(saliency(np.ones((10, 20))), [BOX], ROWS, COLUMNS)
    assert found.box_share == pytest.approx(40 * 20 / (ROWS * COLUMNS))
    assert found.energy_in_box == pytest.approx(found.box_share)
    assert found.iou == pytest.approx(found.box_share)


def test_an_empty_map_gets_nothing() -> None:
    found = localise(saliency(np.zeros((10, 20))), [BOX], ROWS, COLUMNS)
    assert (found.energy_in_box, found.iou) == (0.0, 0.0)


def test_the_centre_is_what_a_map_that_knows_nothing_would_point_at() -> None:
    assert localise(spot(0, 0), [Box(95, 45, 10, 10)], ROWS, COLUMNS).centre_in_box
    assert not localise(spot(0, 0), [BOX], ROWS, COLUMNS).centre_in_box


def test_without_a_box_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="at least one box"):
        localise(spot(0, 0), [], ROWS, COLUMNS)


@given(x=st.floats(0, 190), y=st.floats(0, 90), width=st.floats(0.1, 10), height=st.floats(0.1, 10))
def test_boxes_smaller_than_a_cell_keep_their_area(
    x: float, y: float, width: float, height: float
) -> None:
    covered = box_coverage([Box(x, y, width, height)], ROWS, COLUMNS, (10, 20))
    assert covered.sum() * 100 == pytest.approx(width * height, rel=1e-4)
    assert covered.max() <= 1
