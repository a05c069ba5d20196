"""Stand-ins for the function that reads: each does what a broken decoder may do to its process."""

import ctypes
import time
from collections.abc import Collection
from pathlib import Path

from dicom_node.radiograph import PixelLimits, Radiograph, read_radiographs

MARK = b"BREAK THE DECODER"
"""Bytes in a file that make a decoder misbehave; others are read as they should be."""


def crashing(path: Path, *, limits: PixelLimits, scope: Collection[str]) -> list[Radiograph]:
    """Read address 0: a segmentation fault, as in a C decoder."""
    if MARK in path.read_bytes():
        ctypes.string_at(0)
    return read_radiographs(path, limits=limits, scope=scope)


def hanging(path: Path, *, limits: PixelLimits, scope: Collection[str]) -> list[Radiograph]:
    """Never return."""
    while MARK in path.read_bytes():
        time.sleep(1)
    return read_radiographs(path, limits=limits, scope=scope)


def swallowing(path: Path, *, limits: PixelLimits, scope: Collection[str]) -> list[Radiograph]:
    """Take memory without end."""
    taken: list[bytearray] = []
    while MARK in path.read_bytes():
        taken.append(bytearray(64 * 1024 * 1024))
    return read_radiographs(path, limits=limits, scope=scope)


def leaving(path: Path, *, limits: PixelLimits, scope: Collection[str]) -> list[Radiograph]:
    """End the process, as some libraries do on an assertion."""
    if MARK in path.read_bytes():
        raise SystemExit(3)
    return read_radiographs(path, limits=limits, scope=scope)
