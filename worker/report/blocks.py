"""What our PDFs are laid out with: texts, headings, table styles, and the file itself."""

from collections.abc import Callable, Sequence
from io import BytesIO

from reportlab import rl_config
from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate

from worker.report.page import CONTENT_WIDTH, FOOT_HEIGHT, HEAD_HEIGHT, MARGIN
from worker.report.text import REGULAR, markup

INK = HexColor("#111827")
MUTED = HexColor("#4B5563")
RULE = HexColor("#C5CAD3")
SHADE = HexColor("#F1F3F6")
FRAME_PADDING = 6  # SimpleDocTemplate's own, in points
_LONGEST_TEXT = 1000

# Tables name their font even around cells that bring their own: Helvetica is never embedded.
FONT = ("FONTNAME", (0, 0), (-1, -1), REGULAR)
TIGHT = [
    FONT,
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
]
SNUG = [
    FONT,
    ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ("RIGHTPADDING", (0, 0), (-1, -1), 5),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]


def pdf_of(
    story: Sequence[Flowable], title: str, subject: str, canvas_maker: Callable[..., Canvas]
) -> bytes:
    """A4 portrait, all fonts embedded; the same story gives the same bytes."""
    rl_config.useA85 = 0  # binary streams as text: a quarter more bytes, and half of the time
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=MARGIN - FRAME_PADDING,
        rightMargin=MARGIN - FRAME_PADDING,
        topMargin=HEAD_HEIGHT,
        bottomMargin=FOOT_HEIGHT,
        title=title,
        author="Fracture Screen",
        subject=subject,
        creator="Fracture Screen",
        lang="en",
        invariant=1,
    )
    document.build(list(story), canvasmaker=canvas_maker)
    return buffer.getvalue()


def heading(text: str) -> Paragraph:
    """Of a part of the page."""
    return block(text, CONTENT_WIDTH, size=11.5, bold=True, above=2 * mm)


def block(
    text: str,
    width: float,
    *,
    size: float = 9,
    bold: bool = False,
    muted: bool = False,
    light: bool = False,
    right: bool = False,
    above: float = 0,
    indent: float = 0,
) -> Paragraph:
    """Any text, shown literally; lengths in points."""
    style = ParagraphStyle(
        "text",
        fontName=REGULAR,
        fontSize=size,
        leading=size * 1.3,
        textColor=white if light else MUTED if muted else INK,
        alignment=2 if right else 0,
        spaceBefore=above,
        spaceAfter=1.5 if above else 0,
        keepWithNext=bool(above),
        leftIndent=indent,
        firstLineIndent=-indent,
    )
    shown = cut(text, _LONGEST_TEXT)
    return Paragraph(markup(shown, bold=bold, size=size, width=width), style)


def cut(text: str, length: int) -> str:
    """At most so many characters, an ellipsis among them."""
    return text if len(text) <= length else text[: length - 1] + "…"
