"""Data sets and files as bytes, written and taken apart by hand so that they can be wrong."""

import struct

from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from tests.fuzz.edits import Grammar

PREAMBLE = b"\0" * 128 + b"DICM"
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)

INTERESTING_VALUES = (
    b"",
    b"\0",
    b" ",
    b"0 ",
    b"1 ",
    b"-1",
    b"1e39",
    b"-1e308 ",
    b"1e400 ",
    b"nan ",
    b"inf ",
    b"-inf",
    b"0.5\\0.5 ",
    b"1\\2\\3 ",
    b"abc ",
    b"\\" * 20,
    b"1" * 64,
    b"9" * 400,
    b"1.2.840.10008.1.2 ",
    b"../../etc/passwd",
    "日本".encode(),
    b"\x1b$B\xff\xff",
    bytes(2),
    b"\xff\xff",
    b"\x01\x00",
    b"\x08\x00",
    b"\x10\x00",
    b"\x20\x00",
    b"\x40\x00",
    b"\x00\x80",
    b"\xff\x7f",
    bytes(4),
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x01\x00\x00\x10\x00",
    b"\xff\xff\xff\xff\xff\xff",
    bytes(8),
    b"\xff" * 8,
)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Explicit VR little endian, padded to an even length."""
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in _LONG_VRS:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value) & 0xFFFF) + value


def named(keyword: str, value: bytes, vr: bytes = b"") -> bytes:
    """The same by keyword, with the dictionary's VR where none is given."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return element(tag, vr or dictionary_VR(tag)[:2].encode(), value)


def sequence(keyword: str, *items: bytes) -> bytes:
    """A sequence of undefined length whose items have undefined lengths too."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"SQ\0\0" + struct.pack("<L", _UNDEFINED)
    inner = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE000, _UNDEFINED)
        + item
        + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        for item in items
    )
    return head + inner + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def encapsulated(*fragments: bytes) -> bytes:
    """Pixel Data (PS3.5 A.4) with an empty offset table."""
    padded = [fragment + b"\0" * (len(fragment) % 2) for fragment in (b"", *fragments)]
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(each)) + each for each in padded)
    head = b"\xe0\x7f\x10\x00OB\0\0" + struct.pack("<L", _UNDEFINED)
    return head + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def file_head(transfer_syntax: str, sop_class: str = uid.ComputedRadiographyImageStorage) -> bytes:
    """Preamble and file meta information."""
    meta = named("FileMetaInformationVersion", b"\0\1")
    meta += named("MediaStorageSOPClassUID", sop_class.encode())
    meta += named("MediaStorageSOPInstanceUID", b"1.2.3.4")
    meta += named("TransferSyntaxUID", transfer_syntax.encode())
    return PREAMBLE + named("FileMetaInformationGroupLength", struct.pack("<L", len(meta))) + meta


def split_elements(data: bytes) -> list[bytes]:
    """Preamble, elements and items, in order; joined they are `data` again, whatever it holds.

    What has an undefined length ends after its header, so that its items are pieces too.
    """
    pieces, position = [], 0
    if data[128:132] == b"DICM":
        pieces, position = [data[:132]], 132
    while position < len(data):
        end = _end(data, position)
        pieces.append(data[position:end])
        position = end
    return pieces


def value_at(piece: bytes) -> int:
    """Where the value of an element or item begins."""
    if piece[4:6] in _LONG_VRS:
        return 12
    return 8


def refit(piece: bytes) -> bytes:
    """The piece with an even value and the length that it has."""
    if len(piece) < 8 or piece[128:132] == b"DICM":
        return piece
    start = value_at(piece)
    value = piece[start:] + b"\0" * (len(piece) % 2)
    if start == 12:
        return piece[:8] + struct.pack("<L", len(value)) + value
    if _is_explicit(piece):
        return piece[:6] + struct.pack("<H", len(value) & 0xFFFF) + value
    return piece[:4] + struct.pack("<L", len(value)) + value


def data_set_grammar(dictionary: tuple[bytes, ...]) -> Grammar:
    """For data sets and files; `dictionary` holds encoded elements."""
    return Grammar(split_elements, value_at, refit, dictionary, INTERESTING_VALUES)


def _end(data: bytes, position: int) -> int:
    head = data[position : position + 12]
    start = position + value_at(head)
    if start > len(data) or len(head) < 8:
        return len(data)
    if head[4:6] in _LONG_VRS:
        (length,) = struct.unpack_from("<L", head, 8)
    elif _is_explicit(head):
        (length,) = struct.unpack_from("<H", head, 6)
    else:
        (length,) = struct.unpack_from("<L", head, 4)
    return start if length == _UNDEFINED else min(start + length, len(data))


def _is_explicit(head: bytes) -> bool:
    return head[4:6].isalpha() and head[4:6].isupper() and head[:2] != b"\xfe\xff"
