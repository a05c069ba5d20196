"""What people call an image of a study, the same on the worklist, in reports and in results."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from string import ascii_lowercase
from typing import cast

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from dicom_node.header import read_header

_LONGEST_NUMBER = 12
"""Characters of an Integer String (PS3.5 6.2)."""
_LONGEST_WORD = 64
_LONGEST_ELEMENT = 1024
"""Bytes of an element that is decoded."""
_KEYWORDS = (
    *("SeriesNumber", "InstanceNumber", "BodyPartExamined", "ViewPosition"),
    *("ImageLaterality", "Laterality"),
)
_SIDES = {"L": "left", "R": "right", "B": "both sides"}


@dataclass(frozen=True, slots=True)
class ImageLabel:
    """How an image is told from the others of its study."""

    number: str
    """Series and instance number, "2.1"; "" where the header does not state both."""
    place: str
    """Body part, view and side as far as stated: "hand PA left"."""


def label_in_file(path: Path) -> ImageLabel:
    """Return the label of a stored instance; other elements of its header are skipped unread.

    Raises:
        UnreadableInstance: as `dicom_node.header.read_header`.
    """
    header = read_header(path, _KEYWORDS)
    for keyword in _KEYWORDS:
        element = cast("DataElement | RawDataElement | None", header.get_item(keyword))
        if isinstance(element, RawDataElement) and element.length > _LONGEST_ELEMENT:
            del header[keyword]
    return image_label(header)


def image_label(header: Dataset) -> ImageLabel:
    """Return the label of an instance by its header, which may be empty."""
    numbers = [_integer(header, keyword) for keyword in ("SeriesNumber", "InstanceNumber")]
    side = _text(header, "ImageLaterality") or _text(header, "Laterality")
    words = (
        _text(header, "BodyPartExamined").lower(),
        _text(header, "ViewPosition"),
        _SIDES.get(side.upper(), ""),
    )
    return ImageLabel(".".join(numbers) if all(numbers) else "", " ".join(filter(None, words)))


def image_number(label: ImageLabel, position: int, taken: Collection[str]) -> str:
    """Return the label's number or, without one, the position in the study.

    A number that another image of the study has, in `taken`, gets a letter: "2.1", "2.1b", "2.1c".

    Args:
        position: of the instance in its study, from 1, by Series and then SOP Instance UID.
    """
    number = label.number or str(position)
    suffixes: Iterator[str] = chain(
        ("", *ascii_lowercase[1:]), (f"-{further}" for further in count(27))
    )
    return next(number + suffix for suffix in suffixes if number + suffix not in taken)


def _integer(header: Dataset, keyword: str) -> str:
    """A number of 0 or more as text; "" where it is none."""
    stated = _text(header, keyword).removeprefix("+")
    is_number = stated.isascii() and stated.isdigit() and len(stated) <= _LONGEST_NUMBER
    return str(int(stated)) if is_number else ""


def _text(header: Dataset, keyword: str) -> str:
    """The first value."""
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        value = next(iter(value), None)
    text = "" if value is None else str(value)
    return text.strip()[:_LONGEST_WORD]
