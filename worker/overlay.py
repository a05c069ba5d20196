"""Pictures of a radiograph and of its saliency map: arrays in, 8-bit RGB arrays out.

Pure: no files, no DICOM, no clock. How a picture becomes a DICOM object stands in dicom_node,
how it is laid out on paper in worker.report.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from db.outcomes import Grade, grade_word, percent

LONGEST_SIDE = 2048
SHORTEST_SIDE = 512
NARROWEST_CANVAS = 300
NOT_FOR_DIAGNOSIS = "AI result, not for primary diagnosis"
RETROSPECTIVE = "Retrospective: from a backlog sweep, not from triage"

# Bone stays readable through the strongest colour.
_GREATEST_OPACITY = 0.55
# Lightness rises with the value, and unlike inferno the top does not end in the white of bone.
_COLOUR_MAP = cv2.COLORMAP_PLASMA
# Shrunk further than to this share, interpolation nearly misses single lines of pixels.
_NEAR = 0.75
_STRIP_GREY = 18
_BAR_GREY = 90
_TEXT_WHITE = 235


@dataclass(frozen=True, slots=True)
class OverlayCaption:
    """What the strip below an overlay says. Text outside printable ASCII is drawn as "?"."""

    model_name: str
    model_version: str
    grade: Grade
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
    """Draw a radiograph as grey, uint8 rendered_shape(...).

    `pixels` is float32 (rows, columns) in [0, 1], bone bright; grey = round(255 * pixel).
    Raises ValueError for another shape or values outside [0, 1].
    """
    _check_unit_range("pixels", pixels)
    rows, columns = rendered_shape(pixels.shape[0], pixels.shape[1], longest_side)
    return _resize(_to_bytes(pixels), rows, columns)


def as_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a grey picture (rows, columns) as RGB (rows, columns, 3)."""
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def reduced(picture: npt.NDArray[np.uint8], longest_side: float) -> npt.NDArray[np.uint8]:
    """Return a picture, grey or RGB, scaled down to `longest_side` pixels if it is longer."""
    factor = longest_side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    rows, columns = (max(1, round(side * factor)) for side in picture.shape[:2])
    return _resize(picture, rows, columns)


def render_overlay(
    pixels: npt.NDArray[np.float32],
    saliency: npt.NDArray[np.float32],
    caption: OverlayCaption,
    longest_side: int = LONGEST_SIDE,
) -> npt.NDArray[np.uint8]:
    """Draw a saliency map in colour over its radiograph, with a caption strip below.

    Returns uint8 RGB: `render_map` over `render_radiograph`, `with_caption`. Raises ValueError for
    arrays of another shape or values outside [0, 1].
    """
    return with_caption(render_map(render_radiograph(pixels, longest_side), saliency), caption)


def render_map(
    grey: npt.NDArray[np.uint8], saliency: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Lay a saliency map in colour over a radiograph as `render_radiograph` draws it; RGB.

    `saliency` is float32 (h, w) in [0, 1] and covers the whole radiograph; a coarser grid is
    resized bilinearly. Opacity is proportional to it, so where it is 0 the radiograph keeps its
    grey exactly, and nothing is rescaled by the map's own maximum.
    """
    _check_unit_range("saliency", saliency)
    return _blend(grey, _resize(_to_bytes(saliency), *grey.shape))


def with_caption(picture: npt.NDArray[np.uint8], caption: OverlayCaption) -> npt.NDArray[np.uint8]:
    """Put the caption's strip below an RGB picture, which keeps the top left.

    A picture narrower than NARROWEST_CANVAS stands on a wider canvas, black at its right.
    """
    _check_caption(caption)
    strip = _draw_strip(caption, max(picture.shape[1], NARROWEST_CANVAS))
    canvas = np.zeros((picture.shape[0] + strip.shape[0], strip.shape[1], 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    canvas[picture.shape[0] :] = strip
    return canvas


def _check_unit_range(name: str, values: npt.NDArray[np.float32]) -> None:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: give a non-empty (rows, columns) array")
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0.0 and highest <= 1.0):
        raise ValueError(f"{name} spans {lowest:g} to {highest:g}: give values within [0, 1]")


def _check_caption(caption: OverlayCaption) -> None:
    if caption.grade is Grade.BELOW:
        raise ValueError("a radiograph below both operating points gets no overlay")
    if not 0.0 <= caption.probability <= 1.0:
        raise ValueError(f"probability {caption.probability!r} is not within [0, 1]")


def _to_bytes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[0, 1] to 0…255, rounded."""
    return np.asarray(
        cv2.convertScaleAbs(values.astype(np.float32, copy=False), alpha=255), np.uint8
    )


def _resize(values: npt.NDArray[np.uint8], rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Halve by means of 2 x 2 pixels as often as that goes, then interpolate: no pixel is left out.

    Many times faster than OpenCV's area means, whose factors are whole numbers seldom.
    """
    while rows * 2 <= values.shape[0] and columns * 2 <= values.shape[1]:
        down, across = values.shape[0] // 2, values.shape[1] // 2
        even = values[: 2 * down, : 2 * across]
        values = cv2.resize(even, (across, down), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    if values.shape[:2] == (rows, columns):
        return values
    if rows < _NEAR * values.shape[0]:
        values = cv2.GaussianBlur(values, (3, 3), 0).astype(np.uint8, copy=False)
    resized = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _blend(grey: npt.NDArray[np.uint8], weights: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey · (1 − opacity) + colour · opacity, both products rounded."""
    kept, colours = _blending()
    dimmed = cv2.multiply(grey, cv2.LUT(weights, kept), scale=1 / 255)
    blended = cv2.cvtColor(dimmed, cv2.COLOR_GRAY2RGB)
    cv2.add(blended, cv2.applyColorMap(weights, colours), dst=blended)
    return np.asarray(blended, np.uint8)


@cache
def _blending() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Per weight 0…255: 255 · (1 − opacity), and the RGB colour times the opacity (256, 1, 3)."""
    weights = np.arange(256, dtype=np.uint8)[:, None]
    opacity = weights * (_GREATEST_OPACITY / 255)
    colours = cv2.applyColorMap(weights, _COLOUR_MAP)[:, :, ::-1] * opacity[:, :, None]
    kept = np.rint(255 * (1 - opacity)).astype(np.uint8)
    return kept, np.ascontiguousarray(np.rint(colours).astype(np.uint8))


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
    texts = [
        (NOT_FOR_DIAGNOSIS, True),
        *([(RETROSPECTIVE, True)] if caption.retrospective else []),
        (f"{grade_word(caption.grade)}, probability {percent(caption.probability)}", False),
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
    bar = np.full((baseline - top, right - left), _BAR_GREY, np.uint8)
    weights = np.rint(np.linspace(0, 255, right - left)).astype(np.uint8)
    strip[top:baseline, left:right] = _blend(bar, np.tile(weights, (baseline - top, 1)))
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
