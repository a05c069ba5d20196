"""Result objects as ordinary files named after the input: heatmaps as PNG, reports as PDF."""

import re
import struct
import unicodedata
import zlib
from pathlib import Path

import cv2

from dicom_node.header import parse_file
from dicom_node.result_content import heatmap_pixels, report_document

_ENDINGS = frozenset({".dcm", ".dicom", ".png", ".jpg", ".jpeg"})
_LONGEST_STEM = 50
"""Characters: at most 200 bytes of a file name's 255."""
_QUICK_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_END_OF_PNG_HEADER = 33
"""Bytes of the signature and the IHDR chunk, which always come first (PNG specification, 5.6)."""
_MARK = b"Software\0Fracture Screen heatmap"


class UniqueNames:
    """Gives file names, each once whatever the case, and none of a file that is there already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given: set[str] = set()

    def take(self, stem: str, suffix: str = "") -> str:
        """Return stem + suffix, or stem-2 + suffix and so on where that is taken."""
        name, number = stem + suffix, 1
        while name.casefold() in self._given or (self._folder / name).exists():
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._given.add(name.casefold())
        return name


def safe_stem(path: Path) -> str:
    """Return a file's name for use in other names: letters, digits, ".", "_" and "-" are kept.

    Other characters become "_"; an ending of DICOM or a picture goes.
    """
    name = path.stem if path.suffix.lower() in _ENDINGS else path.name
    kept = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name))
    return kept.lstrip(".-")[:_LONGEST_STEM] or "file"


def write_heatmap_png(heatmap: Path, png: Path) -> None:
    """Write the picture of a heatmap object, marked as ours. Raises OSError."""
    rgb = heatmap_pixels(parse_file(heatmap, stop_before_pixels=False))
    encoded, content = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _QUICK_PNG)
    if not encoded:
        raise OSError(f"{png.name} could not be encoded as PNG")
    plain = content.tobytes()
    png.write_bytes(plain[:_END_OF_PNG_HEADER] + _mark_chunk() + plain[_END_OF_PNG_HEADER:])


def write_report_pdf(report: Path, pdf: Path) -> None:
    """Write the document of a report object. Raises OSError."""
    pdf.write_bytes(report_document(parse_file(report, stop_before_pixels=False)))


def is_own_picture(path: Path) -> bool:
    """Return whether a file is a picture that `write_heatmap_png` wrote."""
    with path.open("rb") as file:
        return _MARK in file.read(_END_OF_PNG_HEADER + len(_mark_chunk()))


def _mark_chunk() -> bytes:
    """A tEXt chunk: length, type, keyword and text, CRC (PNG specification, 11.3.3.2)."""
    typed = b"tEXt" + _MARK
    return struct.pack(">I", len(_MARK)) + typed + struct.pack(">I", zlib.crc32(typed))
