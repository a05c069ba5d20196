"""Reads the size a compressed frame claims for itself, before a decoder believes it.

Rows and Columns can be capped from the header; a codestream that says otherwise makes the decoder
reserve memory for its own size.
"""

import struct

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JPEG_LS_FRAME = 0xF7
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS_FRAME}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def claimed_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS or JPEG 2000 codestream; None where it states none.

    Markers: ISO 10918-1 B.2.2 (SOF), ISO 14495-1 C.2.2, ISO 15444-1 A.5.1 (SIZ).
    """
    if frame.startswith(_JPEG_2000_START) and len(frame) >= 24:
        columns, rows, left, top = struct.unpack_from(">4L", frame, 8)
        return rows - top, columns - left
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    return None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker in _JPEG_FRAMES:
            rows, columns = struct.unpack_from(">HH", frame, position + 5)
            return rows, columns
        if marker == 0xFF:
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", frame, position + 2)
            position += 2 + length
    return None
