"""Any text as reportlab markup in the fonts the report ships: escaping, glyph coverage, direction.

Nothing of the report's content or layout lives here.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import cast
from xml.sax.saxutils import escape

import arabic_reshaper
from bidi import get_display
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR = "FractureScreen-Regular"
BOLD = "FractureScreen-Bold"
MISSING_GLYPH = "□"

_FALLBACK = "FractureScreen-Fallback"
_HANGUL = "FractureScreen-Hangul"
_FONTS = Path(__file__).parent / "fonts"
_FILES = {
    REGULAR: "DejaVuSans.ttf",
    BOLD: "DejaVuSans-Bold.ttf",
    _FALLBACK: "DroidSansFallbackFull.ttf",
    _HANGUL: "NanumSquareR.ttf",
}
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
# Control, format (direction overrides among them), surrogate, private and unassigned code points.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


@cache
def register_fonts() -> None:
    """Make the shipped fonts known to reportlab, once. Raises TTFError if one is missing."""
    for name, file_name in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, _FONTS / file_name))


def markup(text: str, *, bold: bool = False, size: float = 9, width: float | None = None) -> str:
    """Turn any text into Paragraph markup that shows it literally.

    Each run of characters gets the first shipped font with its glyphs; a character that none
    has becomes MISSING_GLYPH. Right-to-left text is shaped and put in visual order; for its
    lines to break in reading order it needs `width`, in points at font size `size`.
    """
    register_fonts()
    clean = printable(text)
    if not _reads_right_to_left(clean):
        return _runs(clean, bold=bold)
    lines = _break_lines(clean, BOLD if bold else REGULAR, size, width)
    return "<br/>".join(_runs(str(get_display(line, base_dir="L")), bold=bold) for line in lines)


def printable(text: str) -> str:
    """Drop what cannot be printed, and make every run of white space one space."""
    composed = unicodedata.normalize("NFC", text)
    spaced = re.sub(r"\s+", " ", composed).strip()
    return "".join(c for c in spaced if unicodedata.category(c) not in _UNPRINTABLE)


def lacks_glyphs(text: str) -> bool:
    """Tell whether some character of the text is printed as MISSING_GLYPH."""
    register_fonts()
    return any(_font_for(c, bold=False) is None for c in arabic_reshaper.reshape(printable(text)))


def _reads_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text)


def _break_lines(text: str, font: str, size: float, width: float | None) -> list[str]:
    """Shape the text and break it before it is reordered: a reordered line cannot be broken."""
    lines = [""]
    for word in str(arabic_reshaper.reshape(text)).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width is not None and pdfmetrics.stringWidth(longer, font, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _runs(text: str, *, bold: bool) -> str:
    return "".join(
        f'<font name="{font}">{escape(run)}</font>' for font, run in _split_by_font(text, bold=bold)
    )


def _split_by_font(text: str, *, bold: bool) -> Iterator[tuple[str, str]]:
    base = BOLD if bold else REGULAR
    chosen = ((_font_for(c, bold=bold), c) for c in text)
    drawn = ((font or base, c if font else MISSING_GLYPH) for font, c in chosen)
    for font, group in groupby(drawn, key=lambda pair: pair[0]):
        yield font, "".join(c for _, c in group)


@lru_cache(maxsize=4096)
def _font_for(character: str, *, bold: bool) -> str | None:
    candidates = (BOLD if bold else REGULAR, REGULAR, _FALLBACK, _HANGUL)
    return next((font for font in candidates if ord(character) in _coverage(font)), None)


@cache
def _coverage(font: str) -> frozenset[int]:
    # getFont is typed as the base class; all fonts here are TTFont.
    return frozenset(cast(TTFont, pdfmetrics.getFont(font)).face.charToGlyph)
