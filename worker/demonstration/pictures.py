"""Results as files that anybody can open: heatmaps as PNG, reports as PDF."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import pydicom


def write_pictures(results: Sequence[Path], stem: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """Write `stem`-report.pdf and `stem`-heatmap.png (-heatmap-2.png …) from result objects.

    Returns the report's path, None where there is none, and the heatmaps' paths.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    report: Path | None = None
    heatmaps: list[Path] = []
    for result in results:
        dataset = pydicom.dcmread(result)
        if "EncapsulatedDocument" in dataset:
            report = stem.with_name(f"{stem.name}-report.pdf").absolute()
            report.write_bytes(dataset.EncapsulatedDocument)
        elif "PixelData" in dataset:
            number = f"-{len(heatmaps) + 1}" if heatmaps else ""
            heatmap = stem.with_name(f"{stem.name}-heatmap{number}.png").absolute()
            cv2.imwrite(str(heatmap), dataset.pixel_array[..., ::-1])
            heatmaps.append(heatmap)
    return report, tuple(heatmaps)
