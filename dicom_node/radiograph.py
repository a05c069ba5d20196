"""From a file to Radiographs: what is eligible, decoded and normalised; or the reason why not.

The one place where pixels are decoded, for training and screening alike. No network knows of DICOM
beyond this.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels.utils import iter_pixels

from dicom_node.codestream import claimed_size
from dicom_node.decimal_strings import mend_decimals
from dicom_node.errors import DicomNodeError, UnreadableInstance
from dicom_node.grey_values import Note, displayed_values, grey_of_colour, stored_values
from dicom_node.header import parse_file, read_header
from dicom_node.result_file import is_own_result
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from dicom_node.stated_body_part import (
    GENERIC_REGIONS,
    NOT_STATED,
    BodyPart,
    SiteWords,
    is_covered,
    read_body_part,
    stated_value,
)

__all__ = [
    "NotEligible",
    "PixelLimits",
    "Radiograph",
    "Reason",
    "radiographs_from",
    "read_header",
    "read_radiographs",
]

_JPEG_2000 = (
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
_JPEG = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
)

_READ_PHOTOMETRICS = (("MON", 1), ("RGB", 3), ("YBR", 3))
"""Beginnings of Photometric Interpretation with Samples per Pixel; colour is read if it is grey."""

DECODERS: dict[str, str] = {
    **dict.fromkeys((*_JPEG, *_JPEG_2000), "pylibjpeg"),
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.RLELossless: "pydicom",
}
"""One fixed decoder per transfer syntax, so that pixels don't depend on what is installed."""


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One decoded frame.

    `pixels`: float32 (rows, columns) in [0, 1], bone bright. `frame_number` counts from 1.
    `body_part_examined`, `laterality` (R, L, B, U) and `view_position` are upper-case, empty where
    not stated; `body_part` is what all of the header says of it. `pixel_spacing`: mm between rows
    and between columns, calibrated (0028,0030) or else at the detector (0018,1164). `reference`:
    the header, without pixels and private attributes.
    `notes`: what a reader should know of how the image was read, in plain sentences that hold no
    patient data, such as a contradiction in its header.
    """

    pixels: NDArray[np.float32]
    sop_instance_uid: str
    frame_number: int
    body_part_examined: str
    laterality: str
    view_position: str
    pixel_spacing: tuple[float, float] | None
    reference: Dataset
    notes: tuple[str, ...] = ()
    body_part: BodyPart = NOT_STATED


class Reason(StrEnum):
    """Why an instance is not analysed; the values are shown to people."""

    NOT_CR_OR_DX = "not a CR or DX image"
    """Another SOP class than CR or DX."""

    NO_PIXELS = "no pixel data"
    """CR or DX without Pixel Data (7FE0,0010) or without its size."""

    OWN_RESULT = "one of our own results"
    """Made by this product: analysing it would loop."""

    OUTSIDE_SCOPE = "body part outside the model's scope"
    """The header says surely that it shows no limb: chest, skull, spine, for example."""

    LIMB_NOT_COVERED = "limb that the model does not cover"
    """The header names a limb, and the model in use is for others."""

    TOO_LARGE = "larger than the limits set"
    """More rows, columns, frames or bytes than `PixelLimits` allow."""

    UNDECODABLE = "pixel data cannot be decoded"
    """Truncated or malformed pixel data, or a transfer syntax without a decoder."""

    NOT_GREYSCALE = "not a greyscale image"
    """Colour or palette instead of MONOCHROME1 or MONOCHROME2."""


class NotEligible(DicomNodeError):
    """The instance is readable but not to be analysed: `reason`, and `detail` free of patient data.

    `detail` may be empty.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """Caps checked before anything is decoded; `max_bytes` is of all frames decoded, as stored."""

    max_rows: int = 8192
    max_columns: int = 8192
    max_frames: int = 64
    max_bytes: int = 512 * 1024 * 1024


def read_radiographs(
    path: Path,
    *,
    limits: PixelLimits,
    scope: Collection[str] | None,
    site_words: SiteWords | None = None,
) -> list[Radiograph]:
    """Every frame of a CR or DX instance, in order.

    `scope`: upper-case Body Part Examined terms that the model covers, None: any; an instance is
    left out only where its header says surely that it shows something else. `site_words` are the
    site's own, see `dicom_node.stated_body_part`. Raises NotEligible with the reason, or
    UnreadableInstance when the file cannot be parsed or its header contradicts itself.
    """
    try:
        header = read_header(path)
        _require_radiograph(header, scope, site_words)
        _require_within_limits(header, limits)
        dataset = parse_file(path, stop_before_pixels=False)
        # Again: what follows the pixels may have changed what is decoded.
        _require_within_limits(dataset, limits)
        notes = mend_decimals(dataset)
        frames = [_grey_frame(frame, dataset, notes.append) for frame in _decoded_frames(dataset)]
        return radiographs_from(header, frames, tuple(dict.fromkeys(notes)), site_words=site_words)
    except (DicomNodeError, MemoryError):
        raise
    except RecursionError as error:
        raise UnreadableInstance(f"{path.name}: sequences nested too deep") from error
    except Exception as error:
        # pydicom converts values when they are used and raises whatever they provoke; its messages
        # may quote patient data.
        kind = type(error).__name__
        raise UnreadableInstance(f"{path.name}: malformed attribute ({kind})") from None


def radiographs_from(
    header: Dataset,
    frames: Sequence[NDArray[np.float32]],
    notes: Sequence[str] = (),
    *,
    site_words: SiteWords | None = None,
) -> list[Radiograph]:
    """Return a Radiograph per frame of normalised pixels; `header` becomes their reference.

    `notes` are those of every frame.

    Raises UnreadableInstance when the header has no SOP Instance UID.
    """
    sop_instance_uid = _text(header, "SOPInstanceUID")
    if not sop_instance_uid:
        raise UnreadableInstance("the data set has no SOP Instance UID (0008,0018)")
    reference = _without_private_attributes(header)
    mend_decimals(reference)
    body_part = read_body_part(header, site_words)
    if body_part.contradiction:
        notes = tuple(dict.fromkeys((*notes, body_part.contradiction)))
    return [
        Radiograph(
            pixels=pixels,
            sop_instance_uid=sop_instance_uid,
            frame_number=frame_number,
            body_part_examined=stated_value(header),
            laterality=_term(header, "ImageLaterality") or _term(header, "Laterality"),
            view_position=_term(header, "ViewPosition"),
            pixel_spacing=_pixel_spacing(header),
            reference=reference,
            notes=tuple(notes),
            body_part=body_part,
        )
        for frame_number, pixels in enumerate(frames, start=1)
    ]


def _require_radiograph(
    header: Dataset, scope: Collection[str] | None, site_words: SiteWords | None
) -> None:
    if is_own_result(header):
        raise NotEligible(Reason.OWN_RESULT)
    sop_class_uid = uid.UID(_text(header, "SOPClassUID"))
    if sop_class_uid not in RADIOGRAPH_SOP_CLASSES:
        raise NotEligible(Reason.NOT_CR_OR_DX, sop_class_uid.name or "no SOP Class UID")
    if scope is not None:
        _require_body_part(read_body_part(header, site_words), stated_value(header), scope)
    photometric = _term(header, "PhotometricInterpretation")
    samples = header.get("SamplesPerPixel") or 1
    if photometric and (photometric[:3], samples) not in _READ_PHOTOMETRICS:
        raise NotEligible(Reason.NOT_GREYSCALE, photometric)


def _require_body_part(stated: BodyPart, term: str, scope: Collection[str]) -> None:
    """Raise NotEligible where the header surely names what the model is not for."""
    if is_covered(stated, term, scope):
        return
    if stated.surely_elsewhere:
        raise NotEligible(Reason.OUTSIDE_SCOPE, stated.said)
    if stated.limbs and not stated.limbs & GENERIC_REGIONS:
        raise NotEligible(Reason.LIMB_NOT_COVERED, ", ".join(sorted(stated.limbs)))


def _require_within_limits(header: Dataset, limits: PixelLimits) -> None:
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    frames = _number_of_frames(header)
    if not rows or not columns:
        raise NotEligible(Reason.NO_PIXELS, "Rows or Columns missing")
    if rows > limits.max_rows or columns > limits.max_columns:
        raise NotEligible(Reason.TOO_LARGE, f"{rows} rows x {columns} columns")
    if frames > limits.max_frames:
        raise NotEligible(Reason.TOO_LARGE, f"{frames} frames")
    samples = int(header.get("SamplesPerPixel") or 1)
    size = rows * columns * frames * samples * -(-int(header.get("BitsAllocated") or 16) // 8)
    if size > limits.max_bytes:
        raise NotEligible(Reason.TOO_LARGE, f"{size} bytes of pixels")


def _grey_frame(frame: NDArray[Any], dataset: Dataset, note: Note) -> NDArray[np.float32]:
    if frame.ndim == 2:
        stored = stored_values(frame, dataset, as_cells=_keeps_cells(frame, dataset))
        return displayed_values(stored, dataset, note)
    grey = grey_of_colour(frame)
    if grey is None:
        raise NotEligible(Reason.NOT_GREYSCALE, _term(dataset, "PhotometricInterpretation"))
    note("The image is stored in colour; its channels are equal, and it was read as grey.")
    # Windows and LUTs are of grey images (PS3.3 C.11.2); colour uses all of its bits.
    shown = grey.astype(np.float32)
    shown /= np.float32(2 ** int(dataset.BitsStored) - 1)
    return np.clip(shown, 0, 1, out=shown)


def _keeps_cells(frame: NDArray[Any], dataset: Dataset) -> bool:
    """Whether bits are where High Bit says; an encoder may move them (PS3.5 8.2)."""
    transfer_syntax = _transfer_syntax(dataset)
    if not transfer_syntax.is_encapsulated or transfer_syntax == uid.RLELossless:
        return True
    return bool(frame.max() >= 2 ** int(dataset.BitsStored))


def _decoded_frames(dataset: Dataset) -> Iterator[NDArray[Any]]:  # Any: 8 or 16 bit, signed or not
    if not dataset.get("PixelData"):
        raise NotEligible(Reason.NO_PIXELS)
    transfer_syntax = _transfer_syntax(dataset)
    if transfer_syntax.is_encapsulated:
        _require_honest_codestreams(dataset)
    plugin = DECODERS.get(transfer_syntax, "")
    stated, decoded = _number_of_frames(dataset), 0
    try:
        for frame in iter_pixels(dataset, decoding_plugin=plugin, correct_unused_bits=False):
            decoded += 1
            if decoded > stated:
                break
            yield frame
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever the bytes provoke
        detail = f"{transfer_syntax.name} ({type(error).__name__})"
        raise NotEligible(Reason.UNDECODABLE, detail) from error
    if decoded != stated:
        # pydicom goes on with what it finds, past the limits that were checked.
        raise NotEligible(Reason.UNDECODABLE, f"{stated} frames stated, others found")


def _require_honest_codestreams(dataset: Dataset) -> None:
    stated = (int(dataset.Rows), int(dataset.Columns))
    frames = generate_frames(dataset.PixelData, number_of_frames=_number_of_frames(dataset))
    try:
        claims = [claimed_size(frame) for frame in frames]
    except Exception as error:  # as for decoding
        raise NotEligible(Reason.UNDECODABLE, "malformed encapsulation") from error
    for claim in claims:
        if claim not in (None, stated):
            raise NotEligible(Reason.UNDECODABLE, f"codestream of {claim} in an image of {stated}")


def _transfer_syntax(dataset: Dataset) -> uid.UID:
    stated = dataset.file_meta.get("TransferSyntaxUID")
    if stated:
        return uid.UID(stated)
    # pydicom guessed the encoding of a file without file meta; its decoder needs to be told.
    implicit_vr, little_endian = dataset.original_encoding
    guess = uid.ImplicitVRLittleEndian if implicit_vr else uid.ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = guess if little_endian else uid.ExplicitVRBigEndian
    return uid.UID(dataset.file_meta.TransferSyntaxUID)


def _without_private_attributes(header: Dataset) -> Dataset:
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118  iterating decodes
        del header[tag]
    if "IconImageSequence" in header:
        del header.IconImageSequence
    return header


def _number_of_frames(header: Dataset) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not isinstance(spacing, MultiValue) or len(spacing) != 2:
        return None
    return float(spacing[0]), float(spacing[1])


def _term(header: Dataset, keyword: str) -> str:
    return _text(header, keyword).upper()


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return "" if value is None else str(value).strip()
