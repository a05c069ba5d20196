"""Content of our own result objects: a heatmap's source and pixels, a report's PDF."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset


def heatmap_source(heatmap: Dataset) -> tuple[str, int]:
    """Return SOP Instance UID and frame number (from 1) of the radiograph that a heatmap shows."""
    (source,) = heatmap.SourceImageSequence
    return str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber") or 1)


def heatmap_pixels(heatmap: Dataset) -> NDArray[np.uint8]:
    """Return a heatmap's RGB pixels, uint8 (rows, columns, 3)."""
    shape = (int(heatmap.Rows), int(heatmap.Columns), 3)
    return np.frombuffer(heatmap.PixelData, np.uint8, int(np.prod(shape))).reshape(shape)


def report_document(report: Dataset) -> bytes:
    """Return the PDF of a report. Raises ValueError where it holds none."""
    document: bytes = report.EncapsulatedDocument[: int(report.EncapsulatedDocumentLength)]
    if not document.startswith(b"%PDF-"):
        raise ValueError("no PDF")
    return document
