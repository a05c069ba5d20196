"""Controls that are no limb radiographs."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from tests.unit.training.drawn import write_picture
from training.errors import DataError
from training.foreign_pictures import KINDS, draw_foreign, read_foreign_file


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_is_a_picture_that_its_seed_and_number_alone_decide(kind: str) -> None:
    first, again = draw_foreign(kind, 1, seed=3), draw_foreign(kind, 1, seed=3)
    assert first.dtype == np.float32
    assert min(first.shape) >= 200
    assert (first.min() >= 0, first.max() <= 1) == (True, True)
    assert first.std() > 0.001
    assert np.array_equal(first, again)
    for number, seed in ((2, 3), (1, 4)):
        other = draw_foreign(kind, number, seed)
        assert other.shape != first.shape or not np.array_equal(other, first)


def test_ct_slices_frames_and_colour_are_read_as_grey_pictures() -> None:
    (ct,) = read_foreign_file(Path(str(get_testdata_file("CT_small.dcm"))))
    (colour,) = read_foreign_file(Path(str(get_testdata_file("SC_rgb_dcmtk_+eb+cr.dcm"))))
    dose = read_foreign_file(Path(str(get_testdata_file("rtdose.dcm"))))
    assert ct.shape == (128, 128)
    assert colour.shape == (100, 100)
    assert len(dose) == 4
    for pixels in (ct, colour, *dose):
        assert pixels.dtype == np.float32
        assert (pixels.min() >= 0, pixels.max() <= 1) == (True, True)


def test_a_picture_file_is_read_too(tmp_path: Path) -> None:
    (pixels,) = read_foreign_file(write_picture(tmp_path / "one.png"))
    assert pixels.shape == (96, 80)


def test_a_file_without_pixels_is_refused_with_its_name(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    del dataset.PixelData
    with pytest.raises(DataError, match=r"empty\.dcm: no pixels"):
        read_foreign_file(write_instance(dataset, tmp_path / "empty.dcm"))
    (tmp_path / "text.txt").write_text("no DICOM")
    with pytest.raises(DataError, match=r"text\.txt"):
        read_foreign_file(tmp_path / "text.txt")
