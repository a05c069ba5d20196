import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from dicom_node.grey_values import displayed_values, stored_values
from tests.unit.dicom_node.instances import gradient, put_pixels


def _header(pixels: np.ndarray, *, bits_stored: int = 12, **attributes: object) -> Dataset:
    header = Dataset()
    put_pixels(header, pixels, bits_stored=bits_stored)
    header.set_original_encoding(False, True)
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def _lut(values: list[int], *, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return Sequence([item])


def _as_pydicom(stored: np.ndarray, header: Dataset, top: float) -> np.ndarray:
    """What pydicom displays, scaled by the top of its output range."""
    return np.asarray(apply_voi_lut(apply_modality_lut(stored, header), header)) / top


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize(("centre", "width"), [(2000, 1000), (2000.5, 1.5), (4095, 8000)])
def test_windows_agree_with_pydicom(function: str | None, centre: float, width: float) -> None:
    stored = gradient()
    header = _header(stored, WindowCenter=centre, WindowWidth=width)
    if function:
        header.VOILUTFunction = function

    expected = _as_pydicom(stored, header, 4095)

    assert displayed_values(stored, header) == pytest.approx(expected, abs=1e-5)


def test_the_first_of_several_windows_is_used() -> None:
    stored = gradient()
    several = _header(stored, WindowCenter=[1000, 3000], WindowWidth=[500, 50])
    first = _header(stored, WindowCenter=1000, WindowWidth=500)

    assert np.array_equal(displayed_values(stored, several), displayed_values(stored, first))


@pytest.mark.parametrize(("centre", "width"), [("nan", "9"), ("9", "inf"), ("1e300", "1e300")])
def test_a_window_that_is_no_number_is_passed_over(centre: str, width: str) -> None:
    stored = gradient()
    header = _header(stored, WindowCenter=centre, WindowWidth=width)

    assert np.array_equal(
        displayed_values(stored, header), displayed_values(stored, _header(stored))
    )


@pytest.mark.parametrize(("slope", "intercept"), [("nan", "0"), ("inf", "0"), ("1", "1e39")])
def test_a_rescale_that_leaves_no_numbers_gives_way_to_the_stored_values(
    slope: str, intercept: str
) -> None:
    header = _header(gradient(), RescaleSlope=slope, RescaleIntercept=intercept)
    notes: list[str] = []

    shown = displayed_values(gradient(), header, notes.append)

    assert np.array_equal(shown, displayed_values(gradient(), _header(gradient())))
    assert "rescale" in notes[0]


def test_a_lut_that_leads_out_of_range_gives_way_to_the_full_range() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [3, 0, 16])
    item.add_new("LUTData", "SS", [-5, -1, 7])
    header = _header(gradient(), VOILUTSequence=Sequence([item]))
    notes: list[str] = []

    shown = displayed_values(gradient(), header, notes.append)

    assert np.array_equal(shown, displayed_values(gradient(), _header(gradient())))
    assert "VOI LUT" in notes[0]


def test_a_lut_without_a_descriptor_gives_way_to_the_full_range() -> None:
    header = _header(gradient(), VOILUTSequence=Sequence([Dataset()]))
    notes: list[str] = []

    shown = displayed_values(gradient(), header, notes.append)

    assert np.array_equal(shown, displayed_values(gradient(), _header(gradient())))
    assert "malformed" in notes[0]


def test_a_stale_window_gives_way_to_the_full_range() -> None:
    stored = gradient(64, 64)
    stale = _header(stored, WindowCenter=40, WindowWidth=400)
    notes: list[str] = []

    shown = displayed_values(stored, stale, notes.append)

    assert np.array_equal(shown, displayed_values(stored, _header(stored)))
    assert "one shade" in notes[0]


def test_a_window_that_darkens_the_air_around_a_finger_is_kept() -> None:
    noise = np.random.default_rng(1)
    stored = noise.integers(3900, 4096, (100, 100)).astype(np.uint16)
    stored[40:60, 40:60] = noise.integers(500, 3000, (20, 20))
    header = _header(stored, WindowCenter=1750, WindowWidth=3000)
    header.PhotometricInterpretation = "MONOCHROME1"
    notes: list[str] = []

    shown = displayed_values(stored, header, notes.append)

    assert np.count_nonzero(shown == 0) > 9000
    assert notes == []


def test_bits_outside_those_stored_are_dropped() -> None:
    values = gradient()
    header = _header(values)

    with_overlay = values | np.where(values % 2, 0x5000, 0).astype(np.uint16)

    assert np.array_equal(stored_values(with_overlay, header), values)
    assert stored_values(values, header) is values


@pytest.mark.parametrize("signed", [False, True])
def test_left_justified_pixels_are_shifted(signed: bool) -> None:
    values = gradient().astype(np.int16) - (2048 if signed else 0)
    cells = (values << 4).astype(np.int16 if signed else np.uint16) | 0xB
    header = _header(cells.astype(np.int16 if signed else np.uint16))
    header.HighBit = 15

    assert np.array_equal(stored_values(cells, header), values)


def test_signed_pixels_with_an_overlay_in_the_high_bits_keep_their_sign() -> None:
    values = (gradient().astype(np.int16) - 2048).astype(np.int16)
    header = _header(values)

    assert np.array_equal(stored_values((values & 0x0FFF) | 0x1000, header), values)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_an_image_for_processing_makes_bone_bright(photometric: str, sign: int) -> None:
    stored = gradient()
    header = _header(
        stored,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LIN",
        PixelIntensityRelationshipSign=sign,
    )
    header.PhotometricInterpretation = photometric

    shown = displayed_values(stored, header)

    # +1: the lowest values are where the least X-rays came through.
    assert shown[0, 0] == (1 if sign == 1 else 0)


@pytest.mark.parametrize(
    ("photometric", "shape", "contradicts"),
    [
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", False),
    ],
)
def test_a_contradicting_presentation_shape_is_followed_and_noted(
    photometric: str, shape: str, contradicts: bool
) -> None:
    stored = gradient()
    header = _header(stored, PresentationLUTShape=shape)
    header.PhotometricInterpretation = photometric
    notes: list[str] = []

    shown = displayed_values(stored, header, notes.append)

    assert shown[0, 0] == (0 if (photometric, shape) == ("MONOCHROME2", "IDENTITY") else 1)
    assert [shape in note for note in notes] == [True] * contradicts


def test_an_unusable_window_is_passed_over() -> None:
    stored = gradient()
    header = _header(stored, WindowCenter=[0, 1000], WindowWidth=[0, 500])
    usable = _header(stored, WindowCenter=1000, WindowWidth=500)

    assert np.array_equal(displayed_values(stored, header), displayed_values(stored, usable))


def test_a_window_that_shows_one_shade_only_gives_way_to_the_whole_range() -> None:
    stored = gradient()
    header = _header(stored, WindowCenter=60000, WindowWidth=10)

    assert displayed_values(stored, header).max() == 1
    assert displayed_values(stored, header).min() == 0


def test_rescale_comes_before_the_window() -> None:
    stored = (gradient().astype(np.int32) - 2048).astype(np.int16)
    header = _header(
        stored, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=400, WindowWidth=3000
    )

    shown = displayed_values(stored, header)

    values = stored * 2.0 - 100
    assert shown == pytest.approx(np.clip((values - 399.5) / 2999 + 0.5, 0, 1), abs=1e-5)


def test_a_modality_lut_comes_before_the_window() -> None:
    stored = np.array([[0, 1, 2, 3, 4, 9]], np.uint16)
    header = _header(
        stored,
        ModalityLUTSequence=_lut([0, 1000, 40000, 65535], first=1, bits=16),
        WindowCenter=32767.5,
        WindowWidth=65535,
        VOILUTFunction="LINEAR_EXACT",
    )

    expected = [[0, 0, 1000 / 65535, 40000 / 65535, 1, 1]]
    assert displayed_values(stored, header) == pytest.approx(np.array(expected), abs=1e-6)
    assert displayed_values(stored, header) == pytest.approx(
        _as_pydicom(stored, header, 65535), abs=1e-6
    )


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (12, 4095), (16, 65535)])
def test_a_voi_lut_is_scaled_over_its_output_range(bits: int, top: int) -> None:
    stored = np.array([[5, 10, 11, 12, 50]], np.uint16)
    table = [0, top // 2, top]
    header = _header(stored, VOILUTSequence=_lut(table, first=10, bits=bits))

    shown = displayed_values(stored, header)

    assert shown == pytest.approx(np.array([[0, 0, (top // 2) / top, 1, 1]]), abs=1e-6)
    assert shown == pytest.approx(_as_pydicom(stored, header, top), abs=1e-6)


def test_a_voi_lut_is_preferred_to_a_window() -> None:
    stored = np.array([[0, 1]], np.uint16)
    header = _header(
        stored,
        VOILUTSequence=_lut([255, 0], first=0, bits=8),
        WindowCenter=1,
        WindowWidth=2,
    )

    assert displayed_values(stored, header).tolist() == [[1, 0]]


def test_a_lut_stored_as_bytes_is_read_as_words() -> None:
    stored = np.array([[0, 1, 2]], np.uint16)
    header = _header(stored, VOILUTSequence=_lut([0, 300, 4095], first=0, bits=12))
    item = header.VOILUTSequence[0]
    del item.LUTData
    item.add_new("LUTData", "OW", np.array([0, 300, 4095], "<u2").tobytes())

    expected = [[0, 300 / 4095, 1]]
    assert displayed_values(stored, header) == pytest.approx(np.array(expected), abs=1e-6)


def test_without_voi_the_range_of_the_pixels_is_shown() -> None:
    stored = np.array([[100, 200, 300]], np.uint16)

    assert displayed_values(stored, _header(stored)).tolist() == [[0, 0.5, 1]]


def test_padding_is_left_out_of_the_range_and_ends_dark() -> None:
    stored = np.array([[0, 100, 200, 300]], np.uint16)
    header = _header(stored, PixelPaddingValue=0)

    assert displayed_values(stored, header).tolist() == [[0, 0, 0.5, 1]]


def test_padding_of_an_inverted_image_ends_dark_too() -> None:
    stored = np.array([[0, 1, 100, 200, 300]], np.uint16)
    header = _header(
        stored,
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=1,
        PhotometricInterpretation="MONOCHROME1",
    )

    assert displayed_values(stored, header).tolist() == [[0, 0, 1, 0.5, 0]]


@pytest.mark.parametrize(
    "inverse",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_inverse_images_are_turned_once_so_that_bone_is_bright(inverse: dict[str, str]) -> None:
    stored = np.array([[0, 4095]], np.uint16)

    assert displayed_values(stored, _header(stored, **inverse)).tolist() == [[1, 0]]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [None, 7])
def test_a_constant_image_gives_zeros(photometric: str, padding: int | None) -> None:
    stored = np.full((4, 4), 7, np.uint16)
    header = _header(stored, PhotometricInterpretation=photometric)
    if padding is not None:
        header.PixelPaddingValue = padding

    assert not displayed_values(stored, header).any()


@given(
    st.lists(st.integers(0, 4095), min_size=1, max_size=30),
    st.floats(-5000, 5000),
    st.floats(0, 9000),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_values_always_lie_between_0_and_1_and_never_fall_as_stored_values_rise(
    values: list[int], centre: float, width: float, function: str
) -> None:
    stored = np.array([sorted(values)], np.uint16)
    header = _header(stored)
    header.WindowCenter, header.WindowWidth = f"{centre:.4f}", f"{width:.4f}"
    header.VOILUTFunction = function

    shown = displayed_values(stored, header)

    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown) >= 0).all()
