"""The text elements that say whose study an instance is, kept apart from the instance's file.

So reception knows the patient without parsing a header, and a report can name the patient when the
file is gone. The values stay bytes as they were sent: nothing here decodes a name.
"""

import struct
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import cast

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset

KEPT: Mapping[int, bytes] = MappingProxyType(
    {
        0x00080005: b"CS",  # Specific Character Set
        0x00080020: b"DA",  # Study Date
        0x00080030: b"TM",  # Study Time
        0x00080050: b"SH",  # Accession Number
        0x00080080: b"LO",  # Institution Name
        0x00080090: b"PN",  # Referring Physician's Name
        0x00081030: b"LO",  # Study Description
        0x00100010: b"PN",  # Patient's Name
        0x00100020: b"LO",  # Patient ID
        0x00100021: b"LO",  # Issuer of Patient ID
        0x00100030: b"DA",  # Patient's Birth Date
        0x00100040: b"CS",  # Patient's Sex
        0x00180015: b"CS",  # Body Part Examined
        0x0020000D: b"UI",  # Study Instance UID
        0x00200010: b"SH",  # Study ID
    }
)
"""Tag → value representation (PS3.6). All have a length of two bytes in explicit VR."""

LONGEST_VALUE = 1024
"""Bytes of a value; a longer one is left out. The VRs allow at most 64 characters a component."""

_CHARACTER_SET = 0x00080005
_HEAD = struct.Struct("<HH2sH")


def encode_elements(values: Mapping[int, bytes]) -> bytes:
    """Encode `values` (tag → value as it was sent) as a data set in explicit VR little endian.

    At most 15 KiB. Tags that are not `KEPT` and values longer than LONGEST_VALUE are left out.
    """
    return b"".join(
        _encoded(tag, vr, values[tag])
        for tag, vr in KEPT.items()
        if tag in values and len(values[tag]) <= LONGEST_VALUE
    )


def decode_elements(encoded: bytes) -> Dataset:
    """Return the data set that `encode_elements` encoded; text is decoded when it is used."""
    return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


def elements_of(header: Dataset) -> bytes:
    """Encode the kept elements of a header that was just parsed, before any value was used.

    An element whose value pydicom has converted already is left out: its bytes are gone.
    """
    found = {}
    for tag in KEPT:
        element = cast("DataElement | RawDataElement | None", header.get_item(tag))
        if isinstance(element, RawDataElement):
            found[tag] = bytes(element.value or b"")
        elif tag == _CHARACTER_SET and element is not None:  # pydicom reads it while it parses
            value = element.value or ""
            terms = [value] if isinstance(value, str) else [str(term) for term in value]
            found[tag] = "\\".join(terms).encode("ascii", "replace")
    return encode_elements(found)


def _encoded(tag: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _HEAD.pack(tag >> 16, tag & 0xFFFF, vr, len(value)) + value
