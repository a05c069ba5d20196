import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.image_file import GreyPixels, read_image_file, wrap_as_dx
from dicom_node.radiograph import PixelLimits, read_radiographs
from dicom_node.result_file import write_result
from dicom_node.uids import picture_uids
from tests.unit.dicom_node.instances import NOW
from tests.validators import dciodvfy_errors, needs_dciodvfy


def _wrap(pixels: GreyPixels, *, body_part: str = "HAND", name: str = "Phantom^Test") -> Dataset:
    study, series, instance = picture_uids(hashlib.sha256(pixels.tobytes()).hexdigest())
    return wrap_as_dx(
        pixels,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
        patient_id="PHANTOM",
        patient_name=name,
        now=NOW,
        body_part_examined=body_part,
        synthetic_note="From a test.",
    )


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("invert", [False, True])
def test_a_wrapped_picture_comes_out_as_value_over_white_exactly(
    tmp_path: Path, dtype: type, white: int, invert: bool
) -> None:
    pixels = np.linspace(0, white, 255 * 257).astype(dtype).reshape(255, 257)
    pixels = white - pixels if invert else pixels
    write_result(_wrap(pixels), tmp_path / "a.dcm")

    (radiograph,) = read_radiographs(tmp_path / "a.dcm", limits=PixelLimits(), scope={"HAND"})

    assert np.array_equal(radiograph.pixels, pixels.astype(np.float32) / np.float32(white))
    assert np.array_equal(radiograph.pixels, (pixels / white).astype(np.float32))


def test_wrapping_twice_makes_the_same_instance() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)

    assert _wrap(pixels) == _wrap(pixels.copy())


def test_a_wrapped_picture_says_that_it_is_one() -> None:
    dataset = _wrap(np.zeros((8, 8), np.uint8))

    assert "synthetic DX" in dataset.SeriesDescription
    assert "synthetic DX" in dataset.ImageComments
    assert "From a test." in dataset.ImageComments


@needs_dciodvfy
@pytest.mark.parametrize("body_part", ["", "HAND", "WRIST", "CHEST"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_wrapped_picture_is_valid_dx(tmp_path: Path, body_part: str, dtype: type) -> None:
    pixels = np.arange(99, dtype=dtype).reshape(9, 11)
    write_result(_wrap(pixels, body_part=body_part, name="Ωμέγα^Άλφα"), tmp_path / "a.dcm")

    assert dciodvfy_errors(tmp_path / "a.dcm") == []


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8)])
def test_only_grey_8_or_16_bit_arrays_are_wrapped(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 or uint16"):
        _wrap(pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_is_read_as_it_was_written(tmp_path: Path, dtype: type) -> None:
    pixels = np.arange(600, dtype=dtype).reshape(20, 30)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)

    read = read_image_file(tmp_path / "a.png")

    assert read.dtype == dtype
    assert np.array_equal(read, pixels)


def test_a_colour_jpeg_is_read_as_grey(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((20, 30, 3), 120, np.uint8))

    assert read_image_file(tmp_path / "a.jpg").shape == (20, 30)
    assert abs(int(read_image_file(tmp_path / "a.jpg").mean()) - 120) <= 1


@pytest.mark.parametrize("content", [b"", b"junk", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(UnreadableInstance, match=r"a\.png"):
        read_image_file(tmp_path / "a.png")


def test_a_missing_picture_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInstance, match="No such file"):
        read_image_file(tmp_path / "gone.png")
