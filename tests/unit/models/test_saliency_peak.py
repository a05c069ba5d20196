"""From a class activation map over letterbox and crop to a place on the radiograph."""

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from models.classifier import Classifier
from models.framing import Frame
from models.gradcam import to_saliency_map
from models.prediction import FloatArray, SaliencyMap
from models.preprocessing import Framing, Letterbox, Preprocessing
from tests.unit.models.bundles import FakeEngine, identity_head, make_bundle

SIZE = 224
SHAPES = {
    "portrait": (1024, 700),
    "narrow portrait": (2000, 300),
    "landscape": (700, 1024),
    "wide landscape": (150, 1200),
    "square": (500, 500),
    "smaller than the input": (90, 120),
    "odd": (333, 217),
}
PLACES = [0.02, 0.31, 0.5, 0.77, 0.98]


@pytest.mark.parametrize("cells", [7, 14])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_peak_lies_on_a_blob_at_every_known_place(shape: tuple[int, int], cells: int) -> None:
    rows, columns = shape
    box = Letterbox.fit(Frame.whole(rows, columns), (SIZE, SIZE))
    cell = max(rows, columns) / cells  # one cell's side, in pixels of the radiograph
    for down, across in product(PLACES, PLACES):
        row, column = down * rows, across * columns
        activation_map = _blob(box, down, across, cells)
        found = _saliency(activation_map, box).peak(rows, columns)
        assert abs(found[0] + 0.5 - row) <= 0.55 * cell, (down, across, found)
        assert abs(found[1] + 0.5 - column) <= 0.55 * cell, (down, across, found)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_fine_map_leads_back_to_the_pixel_it_came_from(shape: tuple[int, int]) -> None:
    """One cell per input pixel: only the letterbox's rounding remains."""
    rows, columns = shape
    box = Letterbox.fit(Frame.whole(rows, columns), (SIZE, SIZE))
    tolerance = 1.5 * max(rows, columns) / SIZE + 1
    for down, across in product([0.0, 0.25, 0.6, 1.0], [0.0, 0.25, 0.6, 1.0]):
        activation_map = np.zeros((SIZE, SIZE))
        at = box.top + down * (box.rows - 1), box.left + across * (box.columns - 1)
        activation_map[round(at[0]), round(at[1])] = 3.0
        found = _saliency(activation_map, box).peak(rows, columns)
        assert found[0] == pytest.approx(down * rows, abs=tolerance)
        assert found[1] == pytest.approx(across * columns, abs=tolerance)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_peak_in_the_last_corner_still_is_a_pixel_of_the_radiograph(
    shape: tuple[int, int],
) -> None:
    values = np.zeros((32, 24), np.float32)
    values[-1, -1] = 1.0
    row, column = SaliencyMap(values, "m", "t").peak(*shape)
    assert shape[0] * 31 / 32 - 1 < row <= shape[0] - 1
    assert shape[1] * 23 / 24 - 1 < column <= shape[1] - 1


def test_a_radiograph_smaller_than_the_map_keeps_its_peak_inside() -> None:
    values = np.zeros((64, 64), np.float32)
    values[-1, -1] = 1.0
    assert SaliencyMap(values, "m", "t").peak(1, 1) == (0, 0)
    assert SaliencyMap(values, "m", "t").peak(2, 3) == (1, 2)


def test_a_plateau_gives_its_centre_and_not_its_first_corner() -> None:
    values = np.zeros((20, 20), np.float32)
    values[4:13, 10:17] = 1.0
    assert SaliencyMap(values, "m", "t").peak(200, 200) == (85, 135)


def test_of_two_equal_peaks_one_is_taken_and_never_the_place_between_them() -> None:
    values = np.zeros((20, 20), np.float32)
    values[3, 2] = values[3, 17] = 1.0
    row, column = SaliencyMap(values, "m", "t").peak(20, 20)
    assert row == 3
    assert column in (2, 17)


def test_the_middle_of_a_ring_is_not_its_peak() -> None:
    values = np.zeros((21, 21), np.float32)
    values[5:16, 5:16] = 1.0
    values[7:14, 7:14] = 0.2
    row, column = SaliencyMap(values, "m", "t").peak(21, 21)
    assert values[row, column] == 1.0


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_classifier_points_at_what_its_features_answer_to(shape: tuple[int, int]) -> None:
    """The whole way: letterbox, engine, Grad-CAM++, crop, peak; the features answer to bright."""
    rows, columns = shape
    bundle = make_bundle(weights=identity_head(3))
    classifier = Classifier(bundle, FakeEngine(_mean_brightness))
    cell = max(rows, columns) / 8
    places = list(product([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]))
    radiographs = [_bright_spot(rows, columns, down, across) for down, across in places]
    for place, result in zip(places, classifier.classify(radiographs), strict=True):
        found = result.saliency.peak(rows, columns)
        assert abs(found[0] - place[0] * rows) <= cell, (place, found)
        assert abs(found[1] - place[1] * columns) <= cell, (place, found)


@pytest.mark.parametrize("lies", [False, True])
def test_the_peak_of_a_framed_and_turned_radiograph_is_found_in_the_whole_one(lies: bool) -> None:
    """Between edges far apart, so that the frame is not the plate."""
    rows, columns = (900, 700) if not lies else (700, 900)
    plate = np.full((rows, columns), 0.1, np.float32)
    across, along = (columns, rows) if not lies else (rows, columns)
    limb = plate if not lies else plate.T
    limb[along // 5 : -along // 5, across // 3 : -across // 3] = 0.4
    limb[along // 4 : along // 4 + 80, across // 2 : across // 2 + 60] = 1.0
    bundle = replace(
        make_bundle(weights=identity_head(3)),
        preprocessing=Preprocessing(64, input_columns=32, framing=Framing.CONTENT),
    )
    (result,) = Classifier(bundle, FakeEngine(_mean_brightness)).classify([plate])
    found = result.saliency.peak(rows, columns)
    expected = (along // 4 + 40, across // 2 + 30)
    assert found == pytest.approx(expected[:: -1 if lies else 1], abs=along / 10)


def _saliency(activation_map: npt.NDArray[np.float64], box: Letterbox) -> SaliencyMap:
    return to_saliency_map(activation_map, box, (SIZE, SIZE), method="m", target_layer="t")


def _blob(box: Letterbox, down: float, across: float, cells: int) -> npt.NDArray[np.float64]:
    """A map whose cell under the given fraction of the radiograph is the hottest."""
    centre_row = (box.top + down * box.rows) * cells / SIZE - 0.5
    centre_column = (box.left + across * box.columns) * cells / SIZE - 0.5
    row, column = np.mgrid[0:cells, 0:cells]
    distance = (row - centre_row) ** 2 + (column - centre_column) ** 2
    return np.asarray(np.exp(-distance), np.float64)


def _mean_brightness(batch: FloatArray) -> FloatArray:
    """8 × 8 cells, three equal channels in [0, 1]."""
    count, rows, columns = batch.shape[:3]
    cells = batch.reshape(count, 8, rows // 8, 8, columns // 8, 3).mean(axis=(2, 4))
    return np.asarray((cells + 1.0) / 2.0, np.float32)


def _bright_spot(rows: int, columns: int, down: float, across: float) -> FloatArray:
    row, column = np.mgrid[0:rows, 0:columns]
    radius = 0.1 * max(rows, columns)
    distance = np.hypot(row - down * rows, column - across * columns)
    return np.asarray(np.exp(-((distance / radius) ** 2)), np.float32)
