"""Pictures for the worklist, from the files that the ledger names.

A peer's bytes are decoded in a child process under limits; results are our own and read here.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from dicom_node.errors import DicomNodeError, UnreadableInstance
from dicom_node.header import parse_file, read_header
from dicom_node.image_label import ImageLabel, label_in_file
from dicom_node.radiograph import PixelLimits
from dicom_node.result_content import heatmap_pixels, heatmap_source, report_document
from worker.overlay import render_radiograph, rendered_shape
from worker.screening import ReadRadiographs

_Part = TypeVar("_Part")

_CACHE_BYTES = 192 * 1024 * 1024
_QUICK_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]


class RenderedPictures:
    """`worklist.parts.Pictures`. Safe to share between threads; renders nothing twice at once."""

    def __init__(
        self,
        data_folder: Path,
        read: ReadRadiographs,
        limits: PixelLimits,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        """Read nothing yet. `cache_bytes`: of pictures that are kept, those used last."""
        self._data_folder = data_folder
        self._read = read
        self._limits = limits
        self._kept = _KeptPictures(cache_bytes)
        self._sources: dict[str, tuple[str, int]] = {}
        self._labels: dict[str, ImageLabel] = {}

    def radiograph(self, path: str, frame_number: int) -> bytes:
        """PNG, 8-bit grey, of one frame (1-based), as large as its heatmap."""
        render = partial(self._render_radiograph, path, frame_number)
        return self._kept.get(("radiograph", path, frame_number), render)

    def heatmap(self, path: str, rows: int, columns: int) -> bytes:
        """PNG, RGB, of a heatmap result without its caption."""
        render = partial(self._render_heatmap, path, rows, columns)
        return self._kept.get(("heatmap", path, rows, columns), render)

    def heatmap_source(self, path: str) -> tuple[str, int]:
        """SOP Instance UID and frame number that a heatmap result shows; results never change."""
        if path not in self._sources:
            header = read_header(self._data_folder / path)
            self._sources[path] = _of_own_result(path, heatmap_source, header)
        return self._sources[path]

    def label(self, path: str) -> ImageLabel:
        """Series and instance number, body part, view and side of a received instance."""
        if path not in self._labels:
            self._labels[path] = label_in_file(self._data_folder / path)
        return self._labels[path]

    def report(self, path: str) -> bytes:
        """The PDF of a report result."""
        return _of_own_result(path, report_document, self._result(path))

    def _render_radiograph(self, path: str, frame_number: int) -> bytes:
        file = self._data_folder / path
        # What is outside the model's scope may be viewed all the same.
        frames = self._read(file, limits=self._limits, scope=None)
        if not 1 <= frame_number <= len(frames):
            raise UnreadableInstance(f"{file.name} has {len(frames)} frames, not {frame_number}")
        return _png(render_radiograph(frames[frame_number - 1].pixels))

    def _render_heatmap(self, path: str, rows: int, columns: int) -> bytes:
        rgb = _of_own_result(path, heatmap_pixels, self._result(path))
        height, width = rendered_shape(rows, columns)
        return _png(np.ascontiguousarray(rgb[:height, :width, ::-1]))

    def _result(self, path: str) -> Dataset:
        return parse_file(self._data_folder / path, stop_before_pixels=False)


class _KeptPictures:
    """The pictures that were used last, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pictures: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._rendering = threading.Lock()

    def get(self, key: object, render: Callable[[], bytes]) -> bytes:
        found = self._find(key)
        if found is not None:
            return found
        # One at a time: two browsers that ask for the same picture decode it once.
        with self._rendering:
            found = self._find(key)
            return self._keep(key, render()) if found is None else found

    def _find(self, key: object) -> bytes | None:
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def _keep(self, key: object, picture: bytes) -> bytes:
        with self._lock:
            self._pictures[key] = picture
            self._bytes += len(picture)
            while self._bytes > self._most_bytes:
                _, dropped = self._pictures.popitem(last=False)
                self._bytes -= len(dropped)
        return picture


def _of_own_result(path: str, extract: Callable[[Dataset], _Part], result: Dataset) -> _Part:
    """UnreadableInstance: it is not as we write results."""
    try:
        return extract(result)
    except DicomNodeError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file provokes
        name, kind = Path(path).name, type(error).__name__
        raise UnreadableInstance(f"{name} is no result as we write them ({kind})") from None


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    encoded, png = cv2.imencode(".png", picture, _QUICK_PNG)
    if not encoded:
        raise UnreadableInstance("the picture could not be written as PNG")
    return png.tobytes()
