"""Walks an encoded little endian data set (PS3.5 chapter 7) without decoding values.

Finds what pydicom lets pass: lengths that reach beyond the bytes there are. Values other than the
four identifying UIDs are never looked at.
"""

import struct
from dataclasses import dataclass

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_node.errors import MalformedInstance

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_MAX_DEPTH = 64
_MAX_ELEMENTS = 250_000

_IDENTIFIERS = {
    0x00080016: "SOP Class UID",
    0x00080018: "SOP Instance UID",
    0x0020000D: "Study Instance UID",
    0x0020000E: "Series Instance UID",
}


@dataclass(frozen=True, slots=True)
class DataSetUids:
    """The identifying UIDs as encoded, without padding; empty where absent."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class _Header:
    tag: int
    vr: bytes
    length: int
    value_at: int


class _Budget:
    """Counts elements and items, nested ones too."""

    def __init__(self) -> None:
        self._left = _MAX_ELEMENTS

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise MalformedInstance(f"more than {_MAX_ELEMENTS} elements")


def scan_data_set(encoded: memoryview, *, implicit_vr: bool) -> DataSetUids:
    """The UIDs of an encoded data set whose every length is accounted for to the last byte.

    Raises MalformedInstance (0xC000) when it is truncated, has trailing bytes, nests more than 64
    sequences or has more than 250,000 elements (each costs whoever parses it some 500 bytes).
    """
    found: dict[int, str] = {}
    position = 0
    budget = _Budget()
    while position < len(encoded):
        header = _read_header(encoded, position, budget, implicit_vr=implicit_vr)
        position = _skip_value(encoded, header, budget, implicit_vr=implicit_vr, depth=0)
        if header.tag in _IDENTIFIERS and header.length != _UNDEFINED:
            found[header.tag] = _uid(encoded, header)
    return DataSetUids(*(found.get(tag, "") for tag in _IDENTIFIERS))


def _read_header(
    encoded: memoryview, position: int, budget: _Budget, *, implicit_vr: bool
) -> _Header:
    budget.spend()
    if position + 8 > len(encoded):
        raise MalformedInstance(f"{len(encoded) - position} stray bytes at the end of the data set")
    group, element = struct.unpack_from("<HH", encoded, position)
    tag = group << 16 | element
    vr = bytes(encoded[position + 4 : position + 6])
    # A VR that isn't two capitals: some writers switch to implicit VR in mid-stream, and pydicom
    # reads it so.
    if implicit_vr or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
        (length,) = struct.unpack_from("<L", encoded, position + 4)
        return _Header(tag, b"", length, position + 8)
    if vr not in _LONG_VRS:
        (length,) = struct.unpack_from("<H", encoded, position + 6)
        return _Header(tag, vr, length, position + 8)
    if position + 12 > len(encoded):
        raise MalformedInstance(f"data set ends within the header of {_name(tag)}")
    (length,) = struct.unpack_from("<L", encoded, position + 8)
    return _Header(tag, vr, length, position + 12)


def _skip_value(
    encoded: memoryview, header: _Header, budget: _Budget, *, implicit_vr: bool, depth: int
) -> int:
    if header.length == _UNDEFINED:
        # Items of an undefined length UN are implicit VR (PS3.5 6.2.2 note).
        items_implicit = implicit_vr or header.vr in (b"", b"UN")
        return _skip_items(encoded, header, budget, implicit_vr=items_implicit, depth=depth + 1)
    end = header.value_at + header.length
    if end > len(encoded):
        raise MalformedInstance(
            f"truncated: {_name(header.tag)} {header.length} bytes, {end - len(encoded)} missing"
        )
    return end


def _skip_items(
    encoded: memoryview, parent: _Header, budget: _Budget, *, implicit_vr: bool, depth: int
) -> int:
    if depth > _MAX_DEPTH:
        raise MalformedInstance(f"more than {_MAX_DEPTH} nested sequences")
    position = parent.value_at
    while position < len(encoded):
        item = _read_header(encoded, position, budget, implicit_vr=True)
        if item.tag == _SEQUENCE_END:
            return item.value_at
        if item.tag != _ITEM:
            raise MalformedInstance(f"{_name(parent.tag)}: {_name(item.tag)} in place of an item")
        if item.length == _UNDEFINED:
            position = _skip_elements(encoded, item, budget, implicit_vr=implicit_vr, depth=depth)
        else:
            position = _skip_value(encoded, item, budget, implicit_vr=implicit_vr, depth=depth)
    raise MalformedInstance(f"truncated: {_name(parent.tag)} is not closed")


def _skip_elements(
    encoded: memoryview, item: _Header, budget: _Budget, *, implicit_vr: bool, depth: int
) -> int:
    position = item.value_at
    while position < len(encoded):
        header = _read_header(encoded, position, budget, implicit_vr=implicit_vr)
        if header.tag == _ITEM_END:
            return header.value_at
        position = _skip_value(encoded, header, budget, implicit_vr=implicit_vr, depth=depth)
    raise MalformedInstance("truncated: an item is not closed")


def _uid(encoded: memoryview, header: _Header) -> str:
    if header.length > 65:
        raise MalformedInstance(f"{_IDENTIFIERS[header.tag]} is {header.length} bytes long")
    value = bytes(encoded[header.value_at : header.value_at + header.length])
    return value.decode("ascii", errors="replace").rstrip("\0 ")


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
