"""From stored pixel values to [0, 1], bone bright: the greyscale pipeline of PS3.4 N.2.

Pure functions of an array and a header; decoding happens before, in radiograph.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

Stored = NDArray[np.integer[Any]]
Grey = NDArray[np.float32]

_LARGEST = 1e30
"""Of a window's numbers: float32 ends at 3e38, and the pipeline needs some room."""


def displayed_values(stored: Stored, header: Dataset) -> Grey:
    """Stored values (any shape) as they are meant to be seen, float32 in [0, 1], bone bright.

    Modality LUT or rescale (PS3.3 C.11.1), then VOI LUT or the first usable window (C.11.2) scaled
    over the VOI's output range. Without either, or where it shows one shade only, from the smallest
    to the largest value that is not padding; a constant image gives zeros. MONOCHROME1 and
    Presentation LUT Shape INVERSE are inverted; padding (C.7.5.1.1.2) ends as 0. Raises ValueError
    where the header makes something else than such values of them.
    """
    padding = _padding(stored, header)
    modality = _modality_values(stored, header)
    grey = _voi_values(modality, header)
    if grey is None or _is_constant(grey, padding):
        grey = _stretched(modality, padding)
        if grey is None:
            return np.zeros(stored.shape, np.float32)
    if _is_inverted(header):
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


def _voi_values(modality: Grey, header: Dataset) -> Grey | None:
    item = _first_item(header, "VOILUTSequence")
    if item is not None:
        values, top = _looked_up(modality, item, header)
        values /= np.float32(top)
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


def _is_constant(grey: Grey, padding: NDArray[np.bool_] | None) -> bool:
    shown = grey if padding is None else grey[~padding]
    return len(shown) == 0 or bool(shown.min() == shown.max())


def _is_inverted(header: Dataset) -> bool:
    photometric = header.get("PhotometricInterpretation")
    shape = header.get("PresentationLUTShape")
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
