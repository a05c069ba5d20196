"""Pictures of a radiograph and of its saliency map: arrays in, 8-bit RGB arrays out.

Pure: no files, no DICOM, no clock. How a picture becomes a DICOM object stands in dicom_node,
how it is laid out on paper in worker.report.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

LONGEST_SIDE = 2048
SHORTEST_SIDE = 512
NARROWEST_CANVAS = 300
NOT_FOR_DIAGNOSIS = "AI result, not for primary diagnosis"
RETROSPECTIVE = "Retrospective: from a backlog sweep, not from triage"

# Bone stays readable through the strongest colour.
_GREATEST_OPACITY = 0.55
# Lightness rises with the value, and unlike inferno the top does not end in the white of bone.
_COLOUR_MAP = cv2.COLORMAP_PLASMA
_STRIP_GREY = 18
_BAR_GREY = 90
_TEXT_WHITE = 235


@dataclass(frozen=True, slots=True)
class OverlayCaption:
    """What the strip below an overlay says. Text outside printable ASCII is drawn as "?"."""

    model_name: str
    model_version: str
    operating_point: Literal["definite", "suspicious"]
    probability: float
    body_part: str = ""
    retrospective: bool = False


def rendered_shape(rows: int, columns: int, longest_side: int = LONGEST_SIDE) -> tuple[int, int]:
    """Give the (rows, columns) at which a radiograph of this size is drawn.

    A radiograph longer than `longest_side` pixels is scaled down to it; one whose shortest side
    is below SHORTEST_SIDE is scaled up to that, as far as `longest_side` allows. Both axes get
    the same factor, so the pixel spacing of the picture is the source's times rows / result rows.
    """
    if min(rows, columns, longest_side) < 1:
        raise ValueError(
            f"cannot draw {rows} x {columns} pixels at most {longest_side} long: "
            "give a radiograph and a longest side of at least one pixel"
        )
    factor = min(longest_side / max(rows, columns), max(1.0, SHORTEST_SIDE / min(rows, columns)))
    return max(1, round(rows * factor)), max(1, round(columns * factor))


def render_radiograph(
    pixels: npt.NDArray[np.float32], longest_side: int = LONGEST_SIDE
) -> npt.NDArray[np.uint8]:
    """Draw a radiograph as grey RGB, uint8 (*rendered_shape(...), 3).

    `pixels` is float32 (rows, columns) in [0, 1], bone bright; grey = round(255 * pixel).
    Raises ValueError for another shape or values outside [0, 1].
    """
    _check_unit_range("pixels", pixels)
    rows, columns = rendered_shape(pixels.shape[0], pixels.shape[1], longest_side)
    grey = np.rint(_resize(pixels, rows, columns) * np.float32(255)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def render_overlay(
    pixels: npt.NDArray[np.float32],
    saliency: npt.NDArray[np.float32],
    caption: OverlayCaption,
    longest_side: int = LONGEST_SIDE,
) -> npt.NDArray[np.uint8]:
    """Draw a saliency map in colour over its radiograph, with a caption strip below.

    `saliency` is float32 (h, w) in [0, 1] and covers the whole radiograph; a coarser grid is
    resized bilinearly. Opacity is proportional to it, so where it is 0 the radiograph keeps its
    grey exactly, and nothing is rescaled by the map's own maximum.

    Returns uint8 (rows, columns, 3). The radiograph fills the top left rendered_shape(...)
    pixels just as render_radiograph draws it; the caption lies below. A radiograph narrower
    than NARROWEST_CANVAS stands on a wider canvas, black at its right.
    Raises ValueError for arrays of another shape or values outside [0, 1].
    """
    _check_caption(caption)
    picture = render_map(pixels, saliency, longest_side)
    strip = _draw_strip(caption, max(picture.shape[1], NARROWEST_CANVAS))
    canvas = np.zeros((picture.shape[0] + strip.shape[0], strip.shape[1], 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    canvas[picture.shape[0] :] = strip
    return canvas


def render_map(
    pixels: npt.NDArray[np.float32],
    saliency: npt.NDArray[np.float32],
    longest_side: int = LONGEST_SIDE,
) -> npt.NDArray[np.uint8]:
    """As `render_overlay`, without its caption: for readers who score maps of any outcome."""
    _check_unit_range("saliency", saliency)
    return _blend(render_radiograph(pixels, longest_side), saliency)


def _check_unit_range(name: str, values: npt.NDArray[np.float32]) -> None:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: give a non-empty (rows, columns) array")
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0.0 and highest <= 1.0):
        raise ValueError(f"{name} spans {lowest:g} to {highest:g}: give values within [0, 1]")


def _check_caption(caption: OverlayCaption) -> None:
    if caption.operating_point not in ("definite", "suspicious"):
        raise ValueError(
            f"operating point {caption.operating_point!r} is unknown: "
            "give 'definite' or 'suspicious'; a negative radiograph gets no overlay"
        )
    if not 0.0 <= caption.probability <= 1.0:
        raise ValueError(f"probability {caption.probability!r} is not within [0, 1]")


def _resize(values: npt.NDArray[np.float32], rows: int, columns: int) -> npt.NDArray[np.float32]:
    if values.shape == (rows, columns):
        return values.astype(np.float32, copy=False)
    shrinks = rows < values.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(values.astype(np.float32), (columns, rows), interpolation=interpolation)
    # Averaging may leave the range by a rounding error.
    return np.asarray(np.clip(resized, 0.0, 1.0), dtype=np.float32)


def _blend(
    picture: npt.NDArray[np.uint8], saliency: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    weights = _resize(saliency, picture.shape[0], picture.shape[1])
    opacity = weights[:, :, None] * np.float32(_GREATEST_OPACITY)
    colours = _colours()[np.rint(weights * 255).astype(np.uint8)]
    blended = picture * (1 - opacity) + colours * opacity
    return np.asarray(np.rint(blended), dtype=np.uint8)


def _colours() -> npt.NDArray[np.uint8]:
    levels = np.arange(256, dtype=np.uint8)[:, None]
    bgr = cv2.applyColorMap(levels, _COLOUR_MAP)
    return np.ascontiguousarray(bgr[:, 0, ::-1]).astype(np.uint8)


def _draw_strip(caption: OverlayCaption, width: int) -> npt.NDArray[np.uint8]:
    size = min(max(width / 42, 14.0), 36.0)
    margin = round(size * 0.7)
    lines = _caption_lines(caption, width - 2 * margin, size)
    pitch = round(size * 1.5)
    strip = np.full((pitch * (len(lines) + 1) + margin, width, 3), _STRIP_GREY, np.uint8)
    for number, (text, bold) in enumerate(lines, start=1):
        _put_text(strip, text, (margin, number * pitch), size, bold=bold)
    _draw_colour_bar(strip, margin, (len(lines) + 1) * pitch, size)
    return strip


def _caption_lines(caption: OverlayCaption, width: int, size: float) -> list[tuple[str, bool]]:
    crossed = f"Fracture: {caption.operating_point} operating point"
    texts = [
        (NOT_FOR_DIAGNOSIS, True),
        *([(RETROSPECTIVE, True)] if caption.retrospective else []),
        (f"{crossed}, probability {caption.probability:.2f}", False),
        (f"Model {caption.model_name} {caption.model_version}", False),
    ]
    if caption.body_part:
        texts.append((f"Body part {caption.body_part}", False))
    return [
        (line, bold)
        for text, bold in texts
        for line in _wrap(_printable(text), width, size, bold=bold)
    ]


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _wrap(text: str, width: int, size: float, *, bold: bool) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _text_width(longer, size, bold=bold) > width:
            lines.append("")
            longer = word
        while len(longer) > 1 and _text_width(longer, size, bold=bold) > width:
            fitting = _fitting_length(longer, width, size, bold=bold)
            lines[-1:] = [longer[:fitting], ""]
            longer = longer[fitting:]
        lines[-1] = longer
    return lines


def _fitting_length(word: str, width: int, size: float, *, bold: bool) -> int:
    length = len(word)
    while length > 1 and _text_width(word[:length], size, bold=bold) > width:
        length -= 1
    return length


def _draw_colour_bar(strip: npt.NDArray[np.uint8], margin: int, baseline: int, size: float) -> None:
    """Draw "0 [bar] 1 relative attention", the colours as they lie over a mid grey."""
    gap = round(size * 0.5)
    label = "1  relative attention"
    left = margin + _text_width("0", size, bold=False) + gap
    room = strip.shape[1] - margin - gap - _text_width(label, size, bold=False)
    right = max(left + 2, min(room, left + round(size * 16)))
    top = baseline - round(size * 0.75)
    bar = np.full((baseline - top, right - left, 3), _BAR_GREY, np.uint8)
    values = np.linspace(0, 1, right - left, dtype=np.float32)
    strip[top:baseline, left:right] = _blend(bar, np.tile(values, (baseline - top, 1)))
    _put_text(strip, "0", (margin, baseline), size, bold=False)
    _put_text(strip, label, (right + gap, baseline), size, bold=False)


def _put_text(
    strip: npt.NDArray[np.uint8], text: str, origin: tuple[int, int], size: float, *, bold: bool
) -> None:
    face, scale, thickness = _font(size, bold=bold)
    white = (_TEXT_WHITE,) * 3
    cv2.putText(strip, text, origin, face, scale, white, thickness, cv2.LINE_AA)


def _text_width(text: str, size: float, *, bold: bool) -> int:
    (width, _), _ = cv2.getTextSize(text, *_font(size, bold=bold))
    return int(width)


def _font(size: float, *, bold: bool) -> tuple[int, float, int]:
    """Give OpenCV's (face, scale, thickness) for text about `size` pixels high."""
    face = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
    return face, size / 29, max(1, round(size / 22))
