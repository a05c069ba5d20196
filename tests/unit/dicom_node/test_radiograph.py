from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate
from pydicom.pixels import compress

from dicom_node.errors import UnreadableInstance
from dicom_node.radiograph import (
    NotEligible,
    PixelLimits,
    Radiograph,
    Reason,
    read_header,
    read_radiographs,
)
from dicom_node.result_file import write_result
from dicom_node.secondary_capture import build_secondary_capture
from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.dicom_node.instances import (
    NOW,
    gradient,
    put_pixels,
    radiograph_dataset,
    result_identity,
    write_instance,
)

SCOPE = frozenset({"HAND", "HIP", "EXTREMITY"})
WG04 = SHARED_DATA / "dicom" / "wg04"
ODDITIES = SHARED_DATA / "dicom" / "oddities"


def _read(path: Path, limits: PixelLimits | None = None) -> list[Radiograph]:
    return read_radiographs(path, limits=limits or PixelLimits(), scope=SCOPE)


def _refused(path: Path, limits: PixelLimits | None = None) -> Reason:
    with pytest.raises(NotEligible) as refusal:
        _read(path, limits)
    return refusal.value.reason


def test_a_cr_instance_becomes_a_radiograph(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.PixelSpacing = [0.2, 0.3]
    dataset.add_new((0x0011, 0x0010), "LO", "PRIVATE CREATOR")

    (radiograph,) = _read(write_instance(dataset, tmp_path / "a.dcm"))

    assert radiograph.pixels.dtype == np.float32
    assert radiograph.pixels.shape == (24, 16)
    assert (radiograph.pixels.min(), radiograph.pixels.max()) == (0, 1)
    assert radiograph.sop_instance_uid == dataset.SOPInstanceUID
    assert radiograph.frame_number == 1
    assert radiograph.body_part_examined == "HAND"
    assert radiograph.laterality == "R"
    assert radiograph.view_position == "AP"
    assert radiograph.pixel_spacing == (0.2, 0.3)
    assert "PixelData" not in radiograph.reference
    assert not any(element.tag.is_private for element in radiograph.reference)


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    ],
)
def test_dx_instances_are_eligible(tmp_path: Path, sop_class_uid: str) -> None:
    dataset = radiograph_dataset()
    dataset.SOPClassUID = sop_class_uid

    assert len(_read(write_instance(dataset, tmp_path / "a.dcm"))) == 1


def test_each_frame_becomes_a_radiograph_in_order(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    put_pixels(dataset, np.stack([gradient(), gradient()[::-1]]))

    first, second = _read(write_instance(dataset, tmp_path / "a.dcm"))

    assert (first.frame_number, second.frame_number) == (1, 2)
    assert np.array_equal(first.pixels, second.pixels[::-1])


@pytest.mark.parametrize(
    "stated", ["HANDS", "Hüfte", "XR", "-", "UNKNOWN", "KÉZ", ["CHEST", "HAND"], "LOWERLIMB"]
)
def test_what_is_not_surely_something_else_is_analysed(
    tmp_path: Path, stated: str | list[str]
) -> None:
    dataset = radiograph_dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.BodyPartExamined = stated

    (radiograph,) = _read(write_instance(dataset, tmp_path / "a.dcm"))

    expected = stated if isinstance(stated, str) else "\\".join(stated)
    assert radiograph.body_part_examined == expected.upper()


def test_a_limb_of_another_model_is_told_apart_from_no_limb(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.BodyPartExamined = "FOOT"
    assert _refused(write_instance(dataset, tmp_path / "a.dcm")) is Reason.LIMB_NOT_COVERED


def test_a_contradiction_is_analysed_and_noted(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.StudyDescription = "XR CHEST PA"

    (radiograph,) = _read(write_instance(dataset, tmp_path / "a.dcm"))

    assert radiograph.notes == (
        "the header contradicts itself: Body Part Examined says HAND, Study Description says CHEST",
    )


@pytest.mark.parametrize("stated", [None, "", "HAND", "hand "])
def test_body_parts_in_scope_or_not_stated_are_eligible(tmp_path: Path, stated: str | None) -> None:
    dataset = radiograph_dataset()
    del dataset.BodyPartExamined
    if stated is not None:
        dataset.BodyPartExamined = stated

    assert _read(write_instance(dataset, tmp_path / "a.dcm"))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"SOPClassUID": uid.CTImageStorage}, Reason.NOT_CR_OR_DX),
        ({"BodyPartExamined": "CHEST"}, Reason.OUTSIDE_SCOPE),
        ({"BodyPartExamined": "CHEST", "SamplesPerPixel": 3}, Reason.OUTSIDE_SCOPE),
        ({"BodyPartExamined": "", "StudyDescription": "XR CHEST PA"}, Reason.OUTSIDE_SCOPE),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.NOT_GREYSCALE),
        ({"PhotometricInterpretation": "RGB"}, Reason.NOT_GREYSCALE),
        ({"Rows": 9000}, Reason.TOO_LARGE),
        ({"Columns": 9000}, Reason.TOO_LARGE),
        ({"NumberOfFrames": 100000}, Reason.TOO_LARGE),
        ({"Rows": 8000, "Columns": 8000, "NumberOfFrames": 60}, Reason.TOO_LARGE),
        ({"Rows": 25}, Reason.UNDECODABLE),
        ({"PixelData": b""}, Reason.NO_PIXELS),
        ({"Rows": 0}, Reason.NO_PIXELS),
    ],
)
def test_what_is_not_eligible_is_refused_with_its_reason(
    tmp_path: Path, attributes: dict[str, object], reason: Reason
) -> None:
    dataset = radiograph_dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)

    assert _refused(write_instance(dataset, tmp_path / "a.dcm")) is reason


def test_more_frames_than_stated_are_refused(tmp_path: Path) -> None:
    dataset = radiograph_dataset(rows=4, columns=4)
    dataset.PixelData = bytes(2 * 4 * 4 * 3)

    with pytest.raises(NotEligible, match="1 frames stated"):
        _read(write_instance(dataset, tmp_path / "a.dcm"))


def test_our_own_results_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros((10, 10, 3), np.uint8)
    result = build_secondary_capture(
        radiograph_dataset(), rgb, identity=result_identity(), derivation_description="", now=NOW
    )
    write_result(result, tmp_path / "a.dcm")

    assert _refused(tmp_path / "a.dcm") is Reason.OWN_RESULT


def test_a_codestream_larger_than_its_image_never_reaches_the_decoder(tmp_path: Path) -> None:
    dataset = radiograph_dataset(rows=64, columns=64)
    write_instance(dataset, tmp_path / "native.dcm")
    compress(dataset, uid.JPEG2000Lossless, generate_instance_uid=False)
    frame = bytearray(dataset.PixelData)
    size_marker = frame.index(b"\xff\x4f\xff\x51")
    frame[size_marker + 8 : size_marker + 16] = (60000).to_bytes(4) * 2
    dataset.PixelData = bytes(frame)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)

    with pytest.raises(NotEligible, match="codestream of"):
        _read(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "syntax",
    [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.JPEGBaseline8Bit],
)
def test_junk_instead_of_a_codestream_is_undecodable(tmp_path: Path, syntax: str) -> None:
    dataset = radiograph_dataset()
    dataset.PixelData = encapsulate([b"junk" * 100])
    dataset["PixelData"].VR = "OB"

    assert _refused(write_instance(dataset, tmp_path / "a.dcm", syntax)) is Reason.UNDECODABLE


def test_12_bits_stored_decode_alike_native_and_compressed(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    (native,) = _read(write_instance(dataset, tmp_path / "native.dcm"))
    compress(dataset, uid.JPEGLSLossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "compressed.dcm", enforce_file_format=True)

    (compressed,) = _read(tmp_path / "compressed.dcm")

    assert np.array_equal(native.pixels, compressed.pixels)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(content)

    with pytest.raises(UnreadableInstance):
        read_header(path)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInstance, match=r"gone\.dcm"):
        read_header(tmp_path / "gone.dcm")


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_whose_channels_are_equal_is_read_as_grey(tmp_path: Path, photometric: str) -> None:
    grey = (gradient() // 16).astype(np.uint8)
    neutral = np.full_like(grey, 128)
    channels = [grey] * 3 if photometric == "RGB" else [grey, neutral, neutral]
    path = write_instance(_colour_dataset(np.stack(channels, -1), photometric), tmp_path / "a.dcm")

    (radiograph,) = _read(path)

    assert radiograph.pixels == pytest.approx(grey / 255, abs=1e-6)
    assert "stored in colour" in radiograph.notes[0]


def test_colour_whose_channels_differ_is_refused(tmp_path: Path) -> None:
    grey = (gradient() // 16).astype(np.uint8)
    pixels = np.stack([grey] * 3, -1)
    pixels[0, 0, 0] = 200

    path = write_instance(_colour_dataset(pixels, "RGB"), tmp_path / "a.dcm")

    assert _refused(path) is Reason.NOT_GREYSCALE


def test_all_samples_of_colour_count_against_the_limit_of_bytes(tmp_path: Path) -> None:
    pixels = np.zeros((24, 16, 3), np.uint8)
    path = write_instance(_colour_dataset(pixels, "RGB"), tmp_path / "a.dcm")

    assert _refused(path, PixelLimits(max_bytes=24 * 16 * 2)) is Reason.TOO_LARGE


def _colour_dataset(pixels: np.ndarray, photometric: str) -> Dataset:
    """A CR instance of 8 bits in colour; `pixels`: (rows, columns, 3)."""
    dataset = radiograph_dataset()
    put_pixels(dataset, pixels[..., 0], bits_stored=8)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = pixels.tobytes()
    return dataset


def test_left_justified_pixels_read_as_right_justified_ones(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    (expected,) = _read(write_instance(dataset, tmp_path / "right.dcm"))
    dataset.HighBit, dataset.PixelData = 15, (gradient() << 4 | 0xB).tobytes()

    (radiograph,) = _read(write_instance(dataset, tmp_path / "left.dcm"))

    assert np.array_equal(radiograph.pixels, expected.pixels)


def test_decimal_commas_are_read_as_points(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.PixelSpacing = [0.15, 0.25]
    dataset.WindowCenter, dataset.WindowWidth = 2048.5, 4001.5
    path = write_instance(dataset, tmp_path / "points.dcm")
    (expected,) = _read(path)
    content = path.read_bytes()
    for number in (b"0.15", b"0.25", b"2048.5", b"4001.5"):
        content = content.replace(number, number.replace(b".", b","))
    path.write_bytes(content)

    (radiograph,) = _read(path)

    assert np.array_equal(radiograph.pixels, expected.pixels)
    assert radiograph.pixel_spacing == (0.15, 0.25)
    assert radiograph.reference.PixelSpacing == [0.15, 0.25]
    assert radiograph.notes == ()


def test_a_window_that_is_no_number_is_noted_and_not_quoted(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    path = write_instance(dataset, tmp_path / "a.dcm")
    dataset.WindowCenter, dataset.WindowWidth = "11", "22"
    write_instance(dataset, path)
    path.write_bytes(path.read_bytes().replace(b"DS\x02\x0011", b"DS\x02\x00Jo"))

    (radiograph,) = _read(path)

    assert radiograph.pixels.max() == 1
    assert radiograph.notes == ("Window Center is not a number and was not used.",)


def test_a_malformed_size_is_unreadable(tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"US\x02\x00\x18\x00", b"US\x01\x00\x18\x00"))

    with pytest.raises((UnreadableInstance, NotEligible)):
        _read(path)


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = radiograph_dataset()
    dataset.PixelData = bytes(1024 * 1024)
    path = write_instance(dataset, tmp_path / "a.dcm", uid.DeflatedExplicitVRLittleEndian)
    assert read_header(path).Rows == 24
    monkeypatch.setattr("dicom_node.header._MAX_INFLATED_BYTES", 1024 * 1024)

    with pytest.raises(UnreadableInstance, match="deflated"):
        read_header(path)


@needs_shared_data
@pytest.mark.parametrize("encoding", ["JLSL", "JPLL", "J2KR", "RLE"])
def test_lossless_encodings_of_rg3_give_the_same_radiograph(encoding: str) -> None:
    (native,) = _read(WG04 / "RG3_UNC.dcm")
    (compressed,) = _read(WG04 / f"RG3_{encoding}.dcm")

    assert np.array_equal(native.pixels, compressed.pixels)


@needs_shared_data
@pytest.mark.parametrize("encoding", ["JLSL", "J2KR", "RLE"])
def test_lossless_encodings_of_rg2_give_the_same_radiograph(encoding: str) -> None:
    (first,) = _read(WG04 / "RG2_JPLL.dcm")
    (other,) = _read(WG04 / f"RG2_{encoding}.dcm")

    assert np.array_equal(first.pixels, other.pixels)


@needs_shared_data
def test_lossy_encodings_stay_close() -> None:
    (native,) = _read(WG04 / "RG3_UNC.dcm")
    for encoding in ("JLSN", "J2KI"):
        (lossy,) = _read(WG04 / f"RG3_{encoding}.dcm")
        assert np.abs(native.pixels - lossy.pixels).mean() < 0.01


@needs_shared_data
@pytest.mark.parametrize("name", ["RG2_JPLY.dcm", "RG3_JPLY.dcm"])
def test_malformed_jpeg_extended_is_undecodable(name: str) -> None:
    assert _refused(WG04 / name) is Reason.UNDECODABLE


@needs_shared_data
def test_bone_is_bright_in_a_monochrome1_radiograph() -> None:
    (radiograph,) = _read(WG04 / "RG3_UNC.dcm")

    air, tibia = radiograph.pixels[880, 500:560], radiograph.pixels[300, 800:900]
    assert tibia.mean() > air.mean() + 0.3


@needs_shared_data
@pytest.mark.parametrize(
    "path", sorted(ODDITIES.glob("*")) if ODDITIES.is_dir() else [], ids=lambda path: path.name
)
def test_an_oddity_is_read_or_refused_with_a_reason(path: Path) -> None:
    try:
        outcome = len(read_radiographs(path, limits=PixelLimits(), scope={"CHEST", *SCOPE}))
    except (NotEligible, UnreadableInstance) as refusal:
        outcome = len(str(refusal))

    assert outcome
