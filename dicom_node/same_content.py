"""Whether two files hold the same data set, whatever uncompressed transfer syntax they are in.

Both are walked over the bytes as they lie: nothing is decoded, and no value is copied.
"""

import hashlib
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom.datadict import dictionary_VR
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_node.header import split_file

_COMPARABLE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BYTES = b"\xfe\xff\x00\xe0"
_TRAILING_PADDING = 0xFFFCFFFC
_PIXEL_DATA = 0x7FE00010
_MOST_ELEMENTS = 250_000
_DEEPEST = 64


class _Digest(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same attributes with the same values, byte for byte.

    Transfer syntax, VRs, lengths of groups, sequences and items and trailing padding do not
    count. Only Implicit and Explicit VR Little Endian are compared: False for any other, for a
    file that cannot be read and for one that is malformed.
    """
    try:
        digest = _digest(one)
        return digest is not None and digest == _digest(other)
    except (OSError, ValueError, struct.error):
        return False


def same_pixels(one: Path, other: Path) -> bool | None:
    """Whether two files have the same Pixel Data; None: they cannot be compared, as above."""
    try:
        digests = _digest(one), _digest(other)
    except (OSError, ValueError, struct.error):
        return None
    if digests[0] is None or digests[1] is None:
        return None
    return digests[0].pixels == digests[1].pixels


@dataclass(frozen=True, slots=True)
class _Digests:
    whole: str
    pixels: str
    """Of the Pixel Data alone."""


def _digest(path: Path) -> _Digests | None:
    """None: not in a transfer syntax that is compared."""
    split = split_file(path)
    if split is None or split[0] not in _COMPARABLE:
        return None
    transfer_syntax, offset = split
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as whole,
        whole[offset:] as encoded,
    ):
        walk = _Walk(encoded, digest)
        walk.elements(0, len(encoded), implicit_vr=transfer_syntax == ImplicitVRLittleEndian)
    return _Digests(digest.hexdigest(), walk.pixels.hexdigest())


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    vr: bytes
    """b"": not stated."""
    length: int
    value_at: int


class _Walk:
    """Feeds a digest with tags and values, and with where sequences and items begin and end.

    Raises ValueError or struct.error for what is malformed.
    """

    def __init__(self, encoded: memoryview, digest: _Digest) -> None:
        self._encoded = encoded
        self._digest = digest
        self._left = _MOST_ELEMENTS
        self.pixels = hashlib.sha256()

    def elements(self, position: int, end: int, *, implicit_vr: bool, depth: int = 0) -> int:
        """Walk a data set up to `end` or its item's delimiter; return where it ended."""
        if depth > _DEEPEST:
            raise ValueError("sequences nested too deep")
        while position < end:
            element = self._read(position, implicit_vr=implicit_vr)
            if element.tag == _ITEM_END:
                return element.value_at
            position = self._element(element, implicit_vr=implicit_vr, depth=depth)
        return position

    def _element(self, element: _Element, *, implicit_vr: bool, depth: int) -> int:
        if self._is_sequence(element):
            self._digest.update(struct.pack("<cL", b"S", element.tag))
            # What has a VR of UN is in implicit VR within (PS3.5 6.2.2).
            implicit_vr = implicit_vr or element.vr == b"UN"
            return self._items(element, implicit_vr=implicit_vr, depth=depth)
        end = element.value_at + element.length
        if end > len(self._encoded):
            raise ValueError("truncated")
        counts = element.tag & 0xFFFF != 0 and element.tag != _TRAILING_PADDING
        if counts:
            self._digest.update(struct.pack("<cLL", b"V", element.tag, element.length))
            with self._encoded[element.value_at : end] as value:
                self._digest.update(value)
                if element.tag == _PIXEL_DATA:
                    self.pixels.update(value)
        return end

    def _items(self, sequence: _Element, *, implicit_vr: bool, depth: int) -> int:
        ends_itself = sequence.length == _UNDEFINED
        position = sequence.value_at
        end = len(self._encoded) if ends_itself else position + sequence.length
        while position < end:
            item = self._read(position, implicit_vr=True)
            if ends_itself and item.tag == _SEQUENCE_END:
                position = item.value_at
                break
            if item.tag != _ITEM:
                raise ValueError("no item where one is due")
            self._digest.update(b"I")
            item_end = end if item.length == _UNDEFINED else item.value_at + item.length
            position = self.elements(
                item.value_at, item_end, implicit_vr=implicit_vr, depth=depth + 1
            )
        self._digest.update(b"E")
        return position

    def _is_sequence(self, element: _Element) -> bool:
        if element.vr not in (b"", b"UN"):
            return element.vr == b"SQ"
        if element.length == _UNDEFINED:
            return True
        if (element.tag >> 16) & 1:  # private: nobody says what it is, but items begin like this
            return bytes(self._encoded[element.value_at : element.value_at + 4]) == _ITEM_BYTES
        try:
            return dictionary_VR(element.tag) == "SQ"
        except KeyError:
            return False

    def _read(self, position: int, *, implicit_vr: bool) -> _Element:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {_MOST_ELEMENTS} elements")
        group, number = struct.unpack_from("<HH", self._encoded, position)
        tag = group << 16 | number
        vr = bytes(self._encoded[position + 4 : position + 6])
        if implicit_vr or group == _ITEM >> 16 or not b"AA" <= vr <= b"ZZ":
            (length,) = struct.unpack_from("<L", self._encoded, position + 4)
            return _Element(tag, b"", length, position + 8)
        if vr in _LONG_VRS:
            (length,) = struct.unpack_from("<L", self._encoded, position + 8)
            return _Element(tag, vr, length, position + 12)
        (length,) = struct.unpack_from("<H", self._encoded, position + 6)
        return _Element(tag, vr, length, position + 8)
