"""From stored pixel values to [0, 1], bone bright: the greyscale pipeline of PS3.4 N.2.

Pure functions of an array and a header; decoding happens before, in radiograph.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

Stored = NDArray[np.integer[Any]]
Grey = NDArray[np.float32]
Note = Callable[[str], None]

_MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What pydicom and numpy raise at a value that is not as its attribute is defined."""

_CHANNEL_TOLERANCE = 4 / 255
"""Share of the range by which channels of grey stored as colour differ: rounding of YBR, JPEG."""

_ONE_SHADE = 0.9
"""Share of the pixels in one shade from which a window is stale. 0.68 is the largest share in the
lowest or highest shades of 837 radiographs of FracAtlas."""

_FLATTENED_RANGE = 0.1
"""Share of the full range which these pixels must span: the air beside a finger spans little."""

_HALF_SHADE = 1 / 510
"""Half of one of 256 shades."""

_SAMPLED_SIDE = 256
"""Fewest rows and columns of the pixels that are sampled, where an image has as many."""

_LARGEST = 1e30
"""Of a window's numbers: float32 ends at 3e38, and the pipeline needs some room."""


def no_note(text: str) -> None:
    """Ignore a note."""


def stored_values(frame: Stored, header: Dataset, *, as_cells: bool = True) -> Stored:
    """Return the Bits Stored below High Bit of each cell (PS3.5 8.1.1), with the sign extended.

    `frame`: cells as allocated. Bits outside, such as an overlay in the high bits, are dropped. An
    impossible High Bit counts as right-justified, as do all frames without `as_cells`.
    """
    cell_bits = 8 * frame.itemsize
    bits_stored = int(header.get("BitsStored") or cell_bits)
    if bits_stored >= cell_bits:
        return frame
    high_bit = int(header.get("HighBit") or bits_stored - 1)
    if not as_cells or not bits_stored - 1 <= high_bit < cell_bits:
        high_bit = bits_stored - 1
    signed = frame.dtype.kind == "i"
    top = 2 ** (bits_stored - 1 if signed else bits_stored)
    if high_bit == bits_stored - 1 and frame.max() < top and not (signed and frame.min() < -top):
        return frame
    values = np.left_shift(frame, cell_bits - 1 - high_bit)
    values >>= cell_bits - bits_stored
    return values


def grey_of_colour(stored: Stored) -> Stored | None:
    """Return one channel of (rows, columns, 3) if all are equal but for rounding, else None."""
    lowest = np.minimum(np.minimum(stored[..., 0], stored[..., 1]), stored[..., 2])
    highest = np.maximum(np.maximum(stored[..., 0], stored[..., 1]), stored[..., 2])
    tolerance = _CHANNEL_TOLERANCE * np.iinfo(stored.dtype).max
    return stored[..., 1].copy() if (highest - lowest).max() <= tolerance else None


def displayed_values(stored: Stored, header: Dataset, note: Note = no_note) -> Grey:
    """Stored values (any shape) as they are meant to be seen, float32 in [0, 1], bone bright.

    Modality LUT or rescale (PS3.3 C.11.1), then VOI LUT or the first usable window (C.11.2) scaled
    over the VOI's output range. Without either, or where they are malformed or leave nearly all in
    one shade, from the smallest to the largest value that is not padding; a constant image gives
    zeros. MONOCHROME1 and Presentation LUT Shape INVERSE are inverted, an image FOR PROCESSING by
    its Pixel Intensity Relationship Sign (C.8.11.3); padding (C.7.5.1.1.2) ends as 0. `note`
    receives a sentence for whatever of the header was not followed or contradicts itself. Raises
    ValueError where something else than such values comes out.
    """
    try:
        padding = _padding(stored, header)
    except _MALFORMED:
        note("Pixel Padding Value is malformed and was not used.")
        padding = None
    try:
        modality = _modality_values(stored, header)
        grey = _shown_by_voi(modality, header, padding, note)
    except _MALFORMED:
        note("The rescale or Modality LUT cannot be used: shown over the range of stored values.")
        modality, grey = stored.astype(np.float32), None
    if grey is None:
        grey = _stretched(modality, padding)
        if grey is None:
            return np.zeros(stored.shape, np.float32)
    if _is_inverted(header, note):
        np.subtract(1, grey, out=grey)
    if padding is not None:
        grey[padding] = 0
    # No number at all fails here, too; a network would make "negative" of it.
    if not (grey.min() >= 0 and grey.max() <= 1):
        raise ValueError("the greyscale transformations lead out of [0, 1]")
    return grey


def _padding(stored: Stored, header: Dataset) -> NDArray[np.bool_] | None:
    first = header.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.get("PixelPaddingRangeLimit")
    low, high = sorted((int(first), int(first if last is None else last)))
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _modality_values(stored: Stored, header: Dataset) -> Grey:
    item = _first_item(header, "ModalityLUTSequence")
    if item is not None:
        return _looked_up(stored.astype(np.float32), item, header)[0]
    slope = _number(header.get("RescaleSlope"), default=1.0)
    intercept = _number(header.get("RescaleIntercept"), default=0.0)
    values = stored.astype(np.float32)
    if slope == 1 and not intercept:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        values *= np.float32(slope)
        values += np.float32(intercept)
        if not np.isfinite([values.min(), values.max()]).all():
            raise ValueError(f"Rescale Slope {slope:g} and Intercept {intercept:g} leave no image")
    return values


def _shown_by_voi(
    modality: Grey, header: Dataset, padding: NDArray[np.bool_] | None, note: Note
) -> Grey | None:
    """Values through VOI LUT or window; None where there is none or it cannot be used."""
    try:
        grey = _voi_values(modality, header)
    except _MALFORMED:
        grey = None
        note("The VOI LUT or window is malformed: shown over the full range of values.")
    if grey is None:
        return None
    if _is_constant(grey, padding) or _is_flattened(grey, modality, padding):
        note("The window leaves nearly all of the image in one shade: shown over the full range.")
        return None
    return grey


def _is_flattened(grey: Grey, modality: Grey, padding: NDArray[np.bool_] | None) -> bool:
    """Whether a window leaves nearly all pixels in its first or last shade though they differ."""
    shades, values = _sample(grey, padding), _sample(modality, padding)
    if not shades.size:
        return False
    for at_end in (shades < _HALF_SHADE, shades > 1 - _HALF_SHADE):
        if np.count_nonzero(at_end) >= _ONE_SHADE * shades.size:
            low, high = np.percentile(values[at_end], (5, 95))
            return bool(high - low > _FLATTENED_RANGE * (values.max() - values.min()))
    return False


def _voi_values(modality: Grey, header: Dataset) -> Grey | None:
    item = _first_item(header, "VOILUTSequence")
    if item is not None:
        values, top = _looked_up(modality, item, header)
        values /= np.float32(top)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("the VOI LUT leads out of its range")
        return values
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    for centre, width in _windows(header):
        narrowest = 1 if function == "LINEAR" else 1 / _LARGEST
        if abs(centre) < _LARGEST and narrowest < width < _LARGEST:
            return _windowed(modality, centre, width, function)
    return None


def _windowed(values: Grey, centre: float, width: float, function: str) -> Grey:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT)."""
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - np.float32(centre)) / np.float32(width), -80, 80)
        return np.asarray(1 / (1 + np.exp(exponent)), np.float32)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    # The lower edge first, so that a window over 0..255 gives exactly value / 255.
    shifted: Grey = values - np.float32(centre - width / 2)
    shifted /= np.float32(width)
    np.clip(shifted, 0, 1, out=shifted)
    return shifted


def _stretched(modality: Grey, padding: NDArray[np.bool_] | None) -> Grey | None:
    shown = modality if padding is None else modality[~padding]
    if not shown.size:
        return None
    low, high = shown.min(), shown.max()
    if low == high:
        return None
    stretched: Grey = modality - low
    stretched /= high - low
    np.clip(stretched, 0, 1, out=stretched)
    return stretched


def _sample(values: Grey, padding: NDArray[np.bool_] | None) -> Grey:
    """Return some pixels that are not padding, from all over the image."""
    stride = max(1, min(values.shape[-2:]) // _SAMPLED_SIDE)
    step = (..., slice(None, None, stride), slice(None, None, stride))
    sampled = np.ascontiguousarray(values[step])
    return sampled if padding is None else sampled[~padding[step]]


def _is_constant(grey: Grey, padding: NDArray[np.bool_] | None) -> bool:
    sampled = _sample(grey, padding)
    if sampled.size and sampled.min() != sampled.max():
        return False
    shown = grey if padding is None else grey[~padding]
    return len(shown) == 0 or bool(shown.min() == shown.max())


def _is_inverted(header: Dataset, note: Note) -> bool:
    photometric = header.get("PhotometricInterpretation")
    shape = header.get("PresentationLUTShape")
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        sign = header.get("PixelIntensityRelationshipSign")
        if sign in (1, -1):
            # +1: higher values mean more X-rays on the detector, so bone is low.
            note("The image is FOR PROCESSING: its Pixel Intensity Relationship Sign was followed.")
            return bool(sign == 1)
        note("The image is FOR PROCESSING and does not state whether bone is bright or dark.")
    if (photometric, shape) in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")):
        # PS3.3 Table C.8-71: IDENTITY goes with MONOCHROME2 and INVERSE with MONOCHROME1.
        note(
            f"{photometric} contradicts Presentation LUT Shape {shape}: shown inverted, so bone "
            "may be dark."
        )
    return bool(photometric == "MONOCHROME1" or shape == "INVERSE")


def _looked_up(values: Grey, item: Dataset, header: Dataset) -> tuple[Grey, int]:
    """The values through a LUT (PS3.3 C.11.1.1) and the top of its output range."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    table = _lut_table(item, entries or 2**16, header)
    index = np.rint(values - np.float32(first)).astype(np.int64)
    np.clip(index, 0, len(table) - 1, out=index)
    # Some writers put more into the table than they say.
    top = max(2**bits - 1, int(table.max()))
    return table[index].astype(np.float32), top


def _lut_table(item: Dataset, entries: int, header: Dataset) -> NDArray[np.integer[Any]]:
    data = item.LUTData
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64))[:entries]
    if len(data) < 2 * entries:
        return np.frombuffer(data, np.uint8)[:entries]
    _, little_endian = header.original_encoding
    return np.frombuffer(data, ">u2" if little_endian is False else "<u2")[:entries]


def _first_item(header: Dataset, keyword: str) -> Dataset | None:
    sequence = header.get(keyword)
    return sequence[0] if sequence else None


def _windows(header: Dataset) -> list[tuple[float, float]]:
    centres, widths = _numbers(header.get("WindowCenter")), _numbers(header.get("WindowWidth"))
    return list(zip(centres, widths, strict=False))


def _numbers(value: Any) -> list[float]:  # Any: pydicom gives None, one number or several
    if value is None or value == "":
        return []
    return [float(number) for number in (value if isinstance(value, MultiValue) else [value])]


def _number(value: Any, *, default: float) -> float:  # Any: as for _numbers
    return next(iter(_numbers(value)), default)
