"""Decoding: DICOM files read into Radiographs.

A case is one byte without meaning and the file. What C decoders touch is read by the reading child
of the product, the rest in this process, where coverage can be seen. A child that a decoder
crashes, hangs or fills is the product's own way out, so it is counted in `notes` and no finding.
"""

import struct
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.pixels import compress

from dicom_node.bounded_reader import MIB, BoundedReader
from dicom_node.errors import ReadingFailed, UnreadableInstance
from dicom_node.header import split_file
from dicom_node.radiograph import NotEligible, PixelLimits, Radiograph, read_radiographs
from tests.fuzz.dicom_bytes import (
    data_set_grammar,
    element,
    encapsulated,
    file_head,
    named,
    sequence,
)
from tests.fuzz.finding import Finding, bounded, require
from tests.unit.dicom_node.instances import gradient, put_pixels, radiograph_dataset, write_instance

LIMITS = PixelLimits(max_rows=512, max_columns=512, max_frames=8, max_bytes=MIB)
SCOPE = frozenset({"HAND"})

_CPU_S = 3.0
_MIB = 256
_CHILD_TIMEOUT_S = 10.0
_CHILD_BYTES = 1024 * MIB
_IN_PROCESS = (
    None,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
)
_ROWS, _COLUMNS = 40, 32


def _lut(descriptor: tuple[int, int, int], data: bytes, vr: bytes = b"US") -> bytes:
    return element(0x00283002, vr, struct.pack("<3H", *descriptor)) + named("LUTData", data, b"OW")


def _short(keyword: str, value: int) -> bytes:
    return named(keyword, struct.pack("<H", value), b"US")


GRAMMAR = data_set_grammar(
    (
        *(_short("Rows", value) for value in (0, 1, _ROWS, _ROWS + 1, 513, 0xFFFF)),
        *(_short("Columns", value) for value in (0, 1, _COLUMNS, _COLUMNS + 1, 513, 0xFFFF)),
        *(_short("BitsAllocated", value) for value in (0, 1, 8, 16, 32, 64, 0xFFFF)),
        *(_short("BitsStored", value) for value in (0, 1, 8, 12, 16, 17, 64)),
        *(_short("HighBit", value) for value in (0, 7, 11, 15, 64)),
        *(_short("PixelRepresentation", value) for value in (0, 1, 2)),
        *(_short("SamplesPerPixel", value) for value in (0, 1, 3)),
        *(_short("PlanarConfiguration", value) for value in (0, 1)),
        *(_short("PixelPaddingValue", value) for value in (0, 4095, 0xFFFF)),
        named("PixelPaddingValue", b"\0\x80", b"SS"),
        _short("PixelPaddingRangeLimit", 2000),
        *(named("NumberOfFrames", value) for value in (b"0 ", b"2 ", b"-1", b"9 ", b"8 ", b"x ")),
        *(
            named("PhotometricInterpretation", value)
            for value in (
                b"MONOCHROME1 ",
                b"PALETTE COLOR ",
                b"RGB ",
                b"YBR_FULL_422",
                b"MONOCHROME3",
            )
        ),
        *(
            named("RescaleSlope", value)
            for value in (b"nan ", b"inf ", b"0 ", b"-1", b"1e38", b"1e-45 ")
        ),
        *(named("RescaleIntercept", value) for value in (b"nan ", b"-inf", b"1e38", b"-1024 ")),
        *(
            named("WindowCenter", value)
            for value in (b"nan ", b"inf ", b"2048", b"1e300 ", b"40\\2000 ", b"")
        ),
        *(
            named("WindowWidth", value)
            for value in (b"nan ", b"inf ", b"1 ", b"0.5 ", b"-1", b"4096", b"1e-300", b"1e300 ")
        ),
        *(
            named("VOILUTFunction", value)
            for value in (b"SIGMOID ", b"LINEAR_EXACT", b"LINEAR", b"ODD ")
        ),
        *(
            sequence(keyword, lut)
            for keyword in ("ModalityLUTSequence", "VOILUTSequence")
            for lut in (
                _lut((4, 0, 16), struct.pack("<4H", 0, 10, 1000, 65535)),
                _lut((4, 0, 8), bytes([0, 10, 100, 255])),
                _lut((0, 0, 16), b"\0\1"),
                _lut((4, 0, 0), bytes(8)),
                _lut((4, 0x8000, 16), bytes(8), b"SS"),
                _lut((4, 0, 16), b""),
                _lut((4, 0, 64), struct.pack("<4H", 0, 10, 1000, 65535)),
                element(0x00283002, b"SS", struct.pack("<3h", 3, 0, 16))
                + named("LUTData", struct.pack("<3h", -5, -1, 7), b"SS"),
                element(0x00283002, b"US", struct.pack("<2H", 4, 0)),
                named("LUTExplanation", b"empty "),
            )
        ),
        named("PresentationLUTShape", b"INVERSE "),
        named("ShutterShape", b"RECTANGULAR\\CIRCULAR "),
        named("ShutterLeftVerticalEdge", b"-5"),
        named("PixelSpacing", b"0.1\\0.1 "),
        named("PixelSpacing", b"nan\\x "),
        named("BodyPartExamined", b"HAND\\KNEE "),
        named("SpecificCharacterSet", b"ISO 2022 IR 149 "),
        named("ImageType", b"DERIVED "),
        named("SOPInstanceUID", b""),
        named("ExtendedOffsetTable", bytes(8), b"OV"),
        named("ExtendedOffsetTableLengths", b"\xff" * 8, b"OV"),
        named("FloatPixelData", bytes(4 * _ROWS * _COLUMNS), b"OF"),
        element(0x7FE00010, b"OW", b""),
        element(0x00110010, b"LO", b"private "),
        struct.pack("<HHL", 0xFFFE, 0xE000, 4) + b"\xff\xd8\xff\xd9",
        struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
        *(
            element(0x00020010, b"UI", str(syntax).encode())
            for syntax in (
                uid.JPEGBaseline8Bit,
                uid.JPEGExtended12Bit,
                uid.JPEGLossless,
                uid.JPEGLosslessSV1,
                uid.JPEGLSLossless,
                uid.JPEG2000,
                uid.HTJ2KLossless,
                uid.RLELossless,
                uid.MPEG2MPML,
                uid.JPIPHTJ2KReferenced,
            )
        ),
    )
)


def seeds(folder: Path) -> list[bytes]:
    """One file per transfer syntax, and natives of each kind of pixel; `folder` is for scratch."""
    natives = [_native(pixels, bits) for pixels, bits in _pixels()]
    compressed = [_compressed(syntax, folder) for syntax in _COMPRESSED]
    return [b"\0" + case for case in (*natives, *compressed, _jpeg(), _lossless_jpeg())]


class DecodeTarget:
    """Reads files as a worker does; `notes` counts what the reading child survived or not."""

    def __init__(self, folder: Path) -> None:
        self.notes: Counter[str] = Counter()
        self._path = folder / "case.dcm"
        self._reader = BoundedReader(timeout_s=_CHILD_TIMEOUT_S, memory_bytes=_CHILD_BYTES)

    def run(self, case: bytes) -> None:
        """Raise Finding, or what should not have been raised, when a contract is broken."""
        with bounded(_CPU_S, _MIB):
            try:
                radiographs = self.read(case)
            except (NotEligible, UnreadableInstance):
                return
            except ReadingFailed as error:
                self._judge(str(error))
                return
            _require_sound(radiographs)

    def check(self) -> None:
        """Nothing is left between cases but the child, which is meant to."""

    def close(self) -> None:
        """End the child."""
        self._reader.close()
        self._path.unlink(missing_ok=True)

    def read(self, case: bytes) -> list[Radiograph]:
        """As a worker does, in the child where a decoder is not written in Python."""
        self._path.write_bytes(case[1:])
        if self._is_for_the_child():
            return self._reader.read(self._path, limits=LIMITS, scope=SCOPE)
        return read_radiographs(self._path, limits=LIMITS, scope=SCOPE)

    def _is_for_the_child(self) -> bool:
        try:
            split = split_file(self._path)
        except Exception:  # the reader will meet it again
            return False
        return split is not None and split[0] not in _IN_PROCESS

    def _judge(self, failure: str) -> None:
        if failure.startswith("reading broke"):
            raise Finding(failure)
        self.notes[failure] += 1


def _require_sound(radiographs: list[Radiograph]) -> None:
    require(1 <= len(radiographs) <= LIMITS.max_frames, f"{len(radiographs)} frames")
    for each in radiographs:
        pixels = each.pixels
        require(pixels.dtype == np.float32, f"pixels of {pixels.dtype}")
        require(
            pixels.ndim == 2
            and 1 <= pixels.shape[0] <= LIMITS.max_rows
            and 1 <= pixels.shape[1] <= LIMITS.max_columns,
            f"pixels of shape {pixels.shape}",
        )
        require(np.isfinite(pixels).all(), "pixels that are no numbers")
        require(pixels.min() >= 0 and pixels.max() <= 1, "pixels outside [0, 1]")
        require(each.sop_instance_uid, "no SOP Instance UID")


def _pixels() -> list[tuple[np.ndarray, int]]:
    sixteen = gradient(_ROWS, _COLUMNS)
    return [
        (sixteen, 12),
        (sixteen.astype(np.int16) - 1024, 16),
        ((sixteen >> 4).astype(np.uint8), 8),
        (np.stack([sixteen, sixteen + 1]), 16),
    ]


def _native(pixels: np.ndarray, bits: int) -> bytes:
    header = b"".join(
        (
            named("SOPClassUID", uid.ComputedRadiographyImageStorage.encode()),
            named("SOPInstanceUID", b"1.2.3.4 "),
            named("StudyInstanceUID", b"1.2.3"),
            named("SeriesInstanceUID", b"1.2.3.1"),
            named("BodyPartExamined", b"HAND"),
            _short("SamplesPerPixel", 1),
            named("PhotometricInterpretation", b"MONOCHROME2"),
            named("NumberOfFrames", b"2") if pixels.ndim == 3 else b"",
            _short("Rows", _ROWS),
            _short("Columns", _COLUMNS),
            _short("BitsAllocated", 8 * pixels.itemsize),
            _short("BitsStored", bits),
            _short("HighBit", bits - 1),
            _short("PixelRepresentation", int(pixels.dtype.kind == "i")),
            named("WindowCenter", b"2048"),
            named("WindowWidth", b"4096"),
            named("RescaleIntercept", b"0"),
            named("RescaleSlope", b"1"),
        )
    )
    tag = tag_for_keyword("PixelData")
    assert tag is not None
    return file_head(uid.ExplicitVRLittleEndian) + header + element(tag, b"OW", pixels.tobytes())


_COMPRESSED = (
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
)


def _compressed(syntax: str, folder: Path) -> bytes:
    dataset = radiograph_dataset()
    put_pixels(dataset, gradient(_ROWS, _COLUMNS))
    path = write_instance(dataset, folder / "seed.dcm")
    options = {
        uid.JPEG2000: {"j2k_cr": [5]},
        uid.JPEGLSNearLossless: {"jls_error": 2},
    }.get(uid.UID(syntax), {})
    compress(dataset, syntax, generate_instance_uid=False, **options)
    dataset.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def _jpeg() -> bytes:
    pixels = (gradient(_ROWS, _COLUMNS) >> 4).astype(np.uint8)
    _, frame = cv2.imencode(".jpg", pixels)
    return _with_frame(pixels, uid.JPEGBaseline8Bit, frame.tobytes())


def _lossless_jpeg() -> bytes:
    """Process 14, selection value 1 (ISO 10918-1 annex H): every difference is coded as 0."""
    pixels = np.full((_ROWS, _COLUMNS), 128, np.uint8)
    code_lengths = bytes([1] * 9 + [0] * 7)
    table = b"\0" + code_lengths + bytes(range(9))
    frame = b"\xff\xd8" + b"\xff\xc3" + struct.pack(">HBHHB3B", 11, 8, _ROWS, _COLUMNS, 1, 1, 17, 0)
    frame += b"\xff\xc4" + struct.pack(">H", 2 + len(table)) + table
    frame += b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 1, 0, 0)
    frame += bytes(_ROWS * _COLUMNS // 8) + b"\xff\xd9"
    return _with_frame(pixels, uid.JPEGLosslessSV1, frame)


def _with_frame(pixels: np.ndarray, syntax: str, frame: bytes) -> bytes:
    native = _native(pixels, 8)
    head = file_head(uid.ExplicitVRLittleEndian)
    header = native[len(head) : -(12 + pixels.nbytes)]
    return file_head(syntax) + header + encapsulated(frame)
