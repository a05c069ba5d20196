"""What a radiograph's file and pixels are recognised by; and which files cannot be read."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dicom_node.bounded_reader import MIB, BoundedReader
from models.prediction import FloatArray
from training.data.example import Example
from training.data.pixels import DicomReader, read_pixels
from training.errors import DataError

THUMBNAIL_SIZE = 32
_TIMEOUT_S = 60.0
_MEMORY_BYTES = 4096 * MIB


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """Of one radiograph.

    `sha256` is of the file, `pixel_sha256` of the decoded pixels with their shape: the same in
    every lossless encoding. `mean` is the mean grey value in [0, 1]. `thumbnail` is uint8
    (32, 32), by area averaging, without regard to the aspect.
    """

    size_bytes: int
    sha256: str
    pixel_sha256: str
    rows: int
    columns: int
    mean: float
    thumbnail: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that cannot be used, and why; the reason names the file."""

    path: Path
    reason: str


def fingerprint_all(
    examples: Sequence[Example], on_progress: Callable[[], None] = lambda: None
) -> list[Fingerprint | Broken]:
    """Of every example in turn. DICOM is decoded in a child process: a crash costs one file."""

    def one(example: Example) -> Fingerprint | Broken:
        try:
            return fingerprint(example.path, bounded.read)
        except DataError as error:
            return Broken(example.path, str(error))
        finally:
            on_progress()

    workers = os.cpu_count() or 1
    with (
        BoundedReader(timeout_s=_TIMEOUT_S, memory_bytes=_MEMORY_BYTES) as bounded,
        ThreadPoolExecutor(workers) as pool,
    ):
        return list(pool.map(one, examples))


def fingerprint_readable(
    examples: Sequence[Example], on_progress: Callable[[], None] = lambda: None
) -> list[Fingerprint]:
    """As `fingerprint_all`, where all must be readable.

    Raises:
        DataError: the first that is not.
    """
    found = fingerprint_all(examples, on_progress)
    for one in found:
        if isinstance(one, Broken):
            raise DataError(one.reason)
    return [one for one in found if isinstance(one, Fingerprint)]


def fingerprint(path: Path, read_dicom: DicomReader) -> Fingerprint:
    """Read one file.

    Raises:
        DataError: it cannot be read, or holds no radiograph.
    """
    pixels = read_pixels(path, read_dicom)
    return Fingerprint(
        size_bytes=path.stat().st_size,
        sha256=file_sha256(path),
        pixel_sha256=_pixel_sha256(pixels),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        mean=float(pixels.mean()),
        thumbnail=_thumbnail(pixels),
    )


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _pixel_sha256(pixels: FloatArray) -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels, "<f4").data)
    return digest.hexdigest()


def _thumbnail(pixels: FloatArray) -> npt.NDArray[np.uint8]:
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.round(255.0 * small).astype(np.uint8)
