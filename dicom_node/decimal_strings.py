"""Decimal Strings (PS3.5 6.2, VR DS) as careless devices write them: read or else dropped.

Only attributes without which an image can still be shown are handled here.
"""

import math

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.tag import Tag

_WINDOW = ("WindowCenter", "WindowWidth")
_RESCALE = ("RescaleSlope", "RescaleIntercept")
_SPACING = ("PixelSpacing", "ImagerPixelSpacing")
_TAGS = tuple(Tag(tag_for_keyword(word) or 0) for word in (*_WINDOW, *_RESCALE, *_SPACING))


def mend_decimals(header: Dataset) -> list[str]:
    """Replace decimal commas in `header` by points, and remove values that are no numbers.

    Window, rescale and spacing are mended; other attributes stay as they are. Return a note for
    each attribute that was removed, free of patient data.
    """
    notes = []
    for tag in _TAGS:
        if tag not in header or _is_readable(header, tag):
            continue
        numbers = _numbers(header, tag)
        if numbers:
            header[tag] = DataElement(tag, "DS", numbers)
        else:
            del header[tag]
            notes.append(f"{dictionary_description(tag)} is not a number and was not used.")
    return notes


def _is_readable(header: Dataset, tag: int) -> bool:
    try:
        value = header[tag].value
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return False
    numbers = value if isinstance(value, MultiValue) else [value]
    return value in (None, "") or all(isinstance(number, int | float) for number in numbers)


def _numbers(header: Dataset, tag: int) -> list[str]:
    raw = header.get_item(tag)
    value = None if raw is None else raw.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    parts = text.split("\\") if isinstance(text, str) else list(text or ())
    points = [str(part).strip(" \0").replace(",", ".") for part in parts]
    try:
        numbers = [float(point) for point in points]
    except ValueError:
        return []
    # PS3.5 6.2 allows 16 characters.
    return [f"{number:.10g}" for number in numbers] if all(map(math.isfinite, numbers)) else []
