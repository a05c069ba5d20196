"""What stands on every page of a report: the warning, patient, study UID, page n of m."""

from collections.abc import Callable
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from worker.report.text import BOLD, REGULAR, markup, register_fonts

WARNING = "AI result, not for primary diagnosis. Research use only, not a medical device."
MARGIN = 16 * mm
CONTENT_WIDTH = A4[0] - 2 * MARGIN
HEAD_HEIGHT = 21 * mm
FOOT_HEIGHT = 17 * mm

_GREY = HexColor("#4B5563")
_RED = HexColor("#9B1C1C")


def numbered_canvas(head: str, foot: str) -> Callable[..., Canvas]:
    """Give the canvas maker of a report; `head` stands on every page but the first, `foot` on all.

    For example the patient's name and ID, and the study's UID.
    """
    register_fonts()

    class NumberedCanvas(Canvas):
        """Keeps every page back until their number is known."""

        # reportlab passes its canvas arguments through untyped.
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "initialFontName": REGULAR})
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self._pages.append(dict(self.__dict__))
            # The stubs leave this method out.
            self._startPage()  # type: ignore[attr-defined]

        def save(self) -> None:
            pages = self._pages
            for number, page in enumerate(pages, start=1):
                self.__dict__.update(page)
                _draw_warning(self)
                if number > 1:
                    _draw_line(self, head, MARGIN, A4[1] - 17 * mm)
                _draw_foot(self, foot, f"Page {number} of {len(pages)}")
                super().showPage()
            super().save()

    return NumberedCanvas


def _draw_warning(canvas: Canvas) -> None:
    canvas.setFont(BOLD, 8.5)
    canvas.setFillColor(_RED)
    canvas.drawString(MARGIN, A4[1] - 11 * mm, WARNING)
    canvas.setStrokeColor(_RED)
    canvas.setLineWidth(0.8)
    canvas.line(MARGIN, A4[1] - 12.6 * mm, A4[0] - MARGIN, A4[1] - 12.6 * mm)


def _draw_line(canvas: Canvas, text: str, x: float, y: float) -> None:
    """Draw one line of any text, cut where the page ends."""
    style = ParagraphStyle("line", fontName=REGULAR, fontSize=8, leading=10, textColor=_GREY)
    paragraph = Paragraph(markup(text, size=8, width=CONTENT_WIDTH), style)
    paragraph.wrap(CONTENT_WIDTH, 10)
    first = paragraph.split(CONTENT_WIDTH, 10.5)
    line = first[0] if first else paragraph
    line.wrapOn(canvas, CONTENT_WIDTH, 10)
    line.drawOn(canvas, x, y)


def _draw_foot(canvas: Canvas, text: str, page: str) -> None:
    canvas.setStrokeColor(_GREY)
    canvas.setLineWidth(0.4)
    canvas.line(MARGIN, 13 * mm, A4[0] - MARGIN, 13 * mm)
    _draw_line(canvas, text, MARGIN, 8.5 * mm)
    canvas.setFont(REGULAR, 8)
    canvas.setFillColor(_GREY)
    canvas.drawRightString(A4[0] - MARGIN, 9 * mm, page)
