"""Walks an encoded little endian data set (PS3.5 chapter 7) without decoding values.

Finds what pydicom lets pass: lengths that reach beyond the bytes there are. Of the values, only the
four identifying UIDs are looked at; the text elements of patient and study are copied unread.
"""

import struct
from dataclasses import dataclass, field, replace

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_node.errors import MalformedInstance
from dicom_node.study_elements import KEPT, LONGEST_VALUE, encode_elements

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_ITEM_GROUP = 0xFFFE
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PIXEL_GROUP = 0x7FE0
_LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_MAX_DEPTH = 64
_MAX_ELEMENTS = 250_000

_IDENTIFIERS = {
    0x00080016: "SOP Class UID",
    0x00080018: "SOP Instance UID",
    0x0020000D: "Study Instance UID",
    0x0020000E: "Series Instance UID",
}

_UID_VRS = (b"", b"UI", b"UN")


@dataclass(frozen=True, slots=True)
class DataSetUids:
    """The identifying UIDs as encoded, without padding; empty where absent.

    `patient_and_study`: the text elements that say whose study it is, as
    `dicom_node.study_elements` encodes them; patient data.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_and_study: bytes = field(default=b"", compare=False, repr=False, kw_only=True)


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


def scan_data_set(encoded: memoryview, *, implicit_vr: bool) -> tuple[DataSetUids, int]:
    """UIDs of an encoded data set whose every length is accounted for, bytes before its pixels.

    Raises MalformedInstance (0xC000) when it is truncated, has trailing bytes, nests more than 64
    sequences or has more than 250,000 elements (each costs whoever parses it some 500 bytes); and
    where parsers would not see what it holds: items outside a sequence, file meta information,
    attributes after the pixels, explicit VR where implicit VR is stated.
    """
    found: dict[int, str] = {}
    kept: dict[int, bytes] = {}
    position = 0
    budget = _Budget()
    pixels_seen = False
    header_size = len(encoded)
    implicit_vr = _is_implicit(encoded, stated=implicit_vr)
    while position < len(encoded):
        header = _read_header(encoded, position, budget, implicit_vr=implicit_vr)
        _require_in_place(header.tag, pixels_seen=pixels_seen)
        if header.tag in _PIXELS and not pixels_seen:
            pixels_seen, header_size = True, position
        position = _skip_value(encoded, header, budget, implicit_vr=implicit_vr, depth=0)
        if header.tag in _IDENTIFIERS and header.length != _UNDEFINED:
            found[header.tag] = _uid(encoded, header)
        if header.tag in KEPT and header.length <= LONGEST_VALUE:
            kept[header.tag] = bytes(encoded[header.value_at : position])
    uids = DataSetUids(*(found.get(tag, "") for tag in _IDENTIFIERS))
    return replace(uids, patient_and_study=encode_elements(kept)), header_size


def _is_implicit(encoded: memoryview, *, stated: bool) -> bool:
    implicit = _looks_implicit(encoded, 0, assumed=stated)
    if stated and not implicit:
        raise MalformedInstance("encoded in explicit VR, where implicit VR is stated")
    return implicit


def _looks_implicit(encoded: memoryview, position: int, *, assumed: bool) -> bool:
    """The encoding that parsers take: pydicom goes by the first element of a data set."""
    vr = bytes(encoded[position + 4 : position + 6])
    return assumed if len(vr) < 2 else not all(0x41 <= byte <= 0x5A for byte in vr)


def _require_in_place(tag: int, *, pixels_seen: bool) -> None:
    """PS3.5 7.1 and 7.5; pydicom ends a data set at a delimiter, and a header at the pixels."""
    group = tag >> 16
    if group == _ITEM_GROUP:
        raise MalformedInstance(f"{_name(tag)} outside a sequence")
    if group <= 2:
        # In a file they would be taken for its file meta information, transfer syntax and all.
        raise MalformedInstance(f"{_name(tag)} belongs to no data set")
    if pixels_seen and group < _PIXEL_GROUP:
        raise MalformedInstance(f"{_name(tag)} comes after the pixels")


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
    if implicit_vr or group == _ITEM_GROUP or not b"AA" <= vr <= b"ZZ":
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
        return _skip_items(encoded, header, budget, implicit_vr=implicit_vr, depth=depth + 1)
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
            return _after_delimiter(item)
        if item.tag != _ITEM:
            raise MalformedInstance(f"{_name(parent.tag)}: {_name(item.tag)} in place of an item")
        if item.length == _UNDEFINED or _holds_data_sets(parent):
            position = _skip_elements(encoded, item, budget, implicit_vr=implicit_vr, depth=depth)
        else:
            position = _skip_value(encoded, item, budget, implicit_vr=implicit_vr, depth=depth)
    raise MalformedInstance(f"truncated: {_name(parent.tag)} is not closed")


def _after_delimiter(delimiter: _Header) -> int:
    """PS3.5 7.5: its length is 0; of another, pydicom may take the first bytes for a VR."""
    if delimiter.length:
        raise MalformedInstance(f"{_name(delimiter.tag)} has a length")
    return delimiter.value_at


def _holds_data_sets(parent: _Header) -> bool:
    """Whether the items of an element of undefined length are no fragments of pixels."""
    return parent.vr in (b"", b"SQ", b"UN") and parent.tag not in _PIXELS


def _skip_elements(
    encoded: memoryview, item: _Header, budget: _Budget, *, implicit_vr: bool, depth: int
) -> int:
    ends_itself = item.length == _UNDEFINED
    end = len(encoded)
    if not ends_itself:
        end = _skip_value(encoded, item, budget, implicit_vr=implicit_vr, depth=depth)
    position = item.value_at
    # Also within explicit VR: items of a UN are implicit VR (PS3.5 6.2.2 note), mostly.
    implicit_vr = implicit_vr or _looks_implicit(encoded, position, assumed=False)
    while position < end:
        header = _read_header(encoded, position, budget, implicit_vr=implicit_vr)
        if ends_itself and header.tag == _ITEM_END:
            return _after_delimiter(header)
        if header.tag >> 16 == _ITEM_GROUP:
            raise MalformedInstance(f"{_name(header.tag)} in place of an element")
        position = _skip_value(encoded, header, budget, implicit_vr=implicit_vr, depth=depth)
    if ends_itself:
        raise MalformedInstance("truncated: an item is not closed")
    if position > end:
        raise MalformedInstance("an element reaches beyond its item")
    return position


def _uid(encoded: memoryview, header: _Header) -> str:
    if header.length > 65:
        raise MalformedInstance(f"{_IDENTIFIERS[header.tag]} is {header.length} bytes long")
    if header.vr not in _UID_VRS:
        raise MalformedInstance(f"{_IDENTIFIERS[header.tag]} has another VR than UI")
    value = bytes(encoded[header.value_at : header.value_at + header.length])
    return value.decode("ascii", errors="replace").rstrip("\0 ")


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
