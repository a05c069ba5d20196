"""The report of a study as PDF: plain content in, bytes out.

Wording and layout only: no DICOM, no database rows, no clock. What a report holds is in
worker.report.parts, what stands on every page in worker.report.page, how any text becomes
printable in worker.report.text.
"""

import numpy as np
import numpy.typing as npt
from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from db.outcomes import OUTCOMES, Grade, grade_word, percent
from worker.overlay import RETROSPECTIVE, reduced
from worker.report.blocks import (
    FONT,
    INK,
    RULE,
    SHADE,
    SNUG,
    TIGHT,
    block,
    cut,
    heading,
    pdf_of,
)
from worker.report.jpeg_picture import JpegPicture
from worker.report.page import CONTENT_WIDTH, numbered_canvas
from worker.report.parts import (
    ReportContent,
    ReportHeader,
    ReportImage,
    ReportModel,
    check_content,
)
from worker.report.text import MISSING_GLYPH, lacks_glyphs, printable

TITLE = "Fracture screening report"


_HOW_TO_READ = (
    "Colour shows the network's relative attention on a coarse grid. It is not the outline of a "
    "fracture, and a region without colour may be fractured. A solid frame marks a likely, "
    "a dashed frame a possible fracture. Pictures are reduced: read the original "
    "radiographs."
)

_PAIR_WIDTH = CONTENT_WIDTH / 2 - 4 * mm
# Low enough for the first flagged radiograph of a usual study to stand on the first page.
_PAIR_HEIGHT = 106 * mm
_THUMBNAILS_PER_ROW = 5
_THUMBNAIL_SIDE = 32 * mm
# A table's row must fit on a page, however long a text some device has sent.
_LONGEST_CELL = 120
_PRINT_PIXELS_PER_POINT = 200 / 72


def render_report(content: ReportContent) -> bytes:
    """Render a report as PDF, A4 portrait, English, all fonts embedded.

    The same content gives the same bytes: the PDF's own dates are fixed, its metadata name no
    patient. Every text is shown literally, whatever it holds; a character that no shipped font
    has is printed as an empty box, and the report says so.
    Raises ValueError for a naive `generated_at`, or an image whose probability, grade or pictures
    contradict what ReportImage says.
    """
    check_content(content)
    header = content.header
    patient = f"{header.patient_name or 'Name not stated'}, ID {header.patient_id or 'not stated'}"
    maker = numbered_canvas(patient, f"Study {header.study_instance_uid}")
    return pdf_of(_story(content), TITLE, "AI result, not for primary diagnosis", maker)


def _story(content: ReportContent) -> list[Flowable]:
    model = content.model
    points = (model.sensitive_threshold, model.specific_threshold) if model else ()
    return [
        *_title_part(content),
        *_header_part(content.header),
        *_outcome_part(content),
        *_images_part(content.images, points),
        *_flagged_part(content.images, points),
        *_others_part(content.images),
        *_not_analysed_part(content.images),
        *_notes_part(content.images),
        *_model_part(content.model),
    ]


def _title_part(content: ReportContent) -> list[Flowable]:
    made = content.generated_at.strftime("%Y-%m-%d %H:%M %Z")
    revision = f"Revision {content.revision}"
    if content.revision > 1 and content.model:  # a failed analysis takes nothing back
        revision += f", supersedes revision {content.revision - 1}"
    half = CONTENT_WIDTH / 2
    lines = [revision, f"Generated {made}", *([RETROSPECTIVE] if content.retrospective else [])]
    side = [block(line, half, size=8, muted=True, right=True) for line in lines]
    table = Table([[block(TITLE, half, size=16, bold=True), side]], colWidths=[half, half])
    table.setStyle(TableStyle([*TIGHT, ("VALIGN", (0, 0), (-1, -1), "BOTTOM")]))
    return [table, Spacer(0, 3 * mm)]


def _header_part(header: ReportHeader) -> list[Flowable]:
    left = (
        ("Patient", header.patient_name),
        ("Patient ID", header.patient_id),
        ("Birth date", header.patient_birth_date),
        ("Sex", header.patient_sex),
    )
    right = (
        ("Study", header.study_description),
        ("Study date", header.study_date),
        ("Accession number", header.accession_number),
        ("Referring physician", header.referring_physician_name),
    )
    place = ("Institution", header.institution_name)
    widths = [22 * mm, 64 * mm, 32 * mm, CONTENT_WIDTH - 118 * mm]
    rows = [
        [*_field(*a, widths[1], bold=a[0] == "Patient"), *_field(*b, widths[3])]
        for a, b in zip(left, right, strict=True)
    ]
    rows.append(_field(*place, CONTENT_WIDTH - widths[0]))
    table = Table(rows, colWidths=widths)
    span = ("SPAN", (1, -1), (-1, -1))
    rules = ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE)
    table.setStyle(TableStyle([*SNUG, span, rules, ("LINEABOVE", (0, 0), (-1, 0), 0.3, RULE)]))
    parts: list[Flowable] = [table]
    if any(lacks_glyphs(value) for _, value in (*left, *right, place)):
        note = f"{MISSING_GLYPH} stands for a character that this report's fonts do not have."
        parts.append(block(note, CONTENT_WIDTH, size=7.5, muted=True))
    return [*parts, Spacer(0, 4 * mm)]


def _field(label: str, value: str, width: float, *, bold: bool = False) -> list[Paragraph]:
    stated = bool(printable(value))
    return [
        block(label, width, size=8, muted=True),
        block(value if stated else "not stated", width - 8, bold=bold and stated, muted=not stated),
    ]


def _outcome_part(content: ReportContent) -> list[Flowable]:
    terms = OUTCOMES[content.outcome]
    analysed = sum(image.probability is not None for image in content.images)
    width = CONTENT_WIDTH - 10 * mm
    lines = [
        block(content.headline or terms.word, width, size=17, bold=True, light=True),
        block(terms.statement, width, size=10, light=True),
        *([block(content.reason, width, size=9, light=True)] if content.reason else []),
        block(f"Analysed: {analysed} of {len(content.images)} images.", width, light=True),
    ]
    band = Table([[line] for line in lines], colWidths=[CONTENT_WIDTH])
    band.setStyle(
        TableStyle(
            [
                FONT,
                ("BACKGROUND", (0, 0), (-1, -1), HexColor(terms.colour)),
                ("LEFTPADDING", (0, 0), (-1, -1), 5 * mm),
                ("TOPPADDING", (0, 0), (-1, 0), 3 * mm),
                ("TOPPADDING", (0, 1), (-1, -1), 1),
                ("BOTTOMPADDING", (0, 0), (-1, -2), 1),
                ("BOTTOMPADDING", (0, -1), (-1, -1), 3 * mm),
            ]
        )
    )
    return [band, Spacer(0, 4 * mm)]


def _images_part(images: tuple[ReportImage, ...], points: tuple[float, ...]) -> list[Flowable]:
    if not images:
        return []
    widths = [34 * mm, 36 * mm, 30 * mm, 24 * mm, CONTENT_WIDTH - 124 * mm]
    titles = ("Image", "Body part", "Side, view", "Probability", "Result")
    head = [block(t, w, size=8, bold=True) for t, w in zip(titles, widths, strict=True)]
    rows = [
        [
            block(cut(cell, _LONGEST_CELL), width - 8, size=8, bold=bool(image.grade))
            for cell, width in zip(_image_cells(image, points), widths, strict=True)
        ]
        for image in images
    ]
    table = Table([head, *rows], colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                *SNUG,
                ("BACKGROUND", (0, 0), (-1, 0), SHADE),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
            ]
        )
    )
    return [table, Spacer(0, 4 * mm)]


def _image_cells(image: ReportImage, points: tuple[float, ...]) -> tuple[str, ...]:
    return (
        image.label,
        image.body_part_examined or "not stated",
        _joined(image.laterality, image.view_position) or "not stated",
        percent(image.probability, points) or "-",
        _result(image),
    )


def _result(image: ReportImage) -> str:
    return "Not analysed" if image.probability is None else grade_word(image.grade)


def _described(image: ReportImage) -> str:
    return cut(_joined(image.label, image.place), _LONGEST_CELL)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _flagged_part(images: tuple[ReportImage, ...], points: tuple[float, ...]) -> list[Flowable]:
    blocks = [_flagged_block(image, points) for image in images if image.grade]
    shown = [block for block in blocks if block]
    if not shown:
        return []
    note = block(_HOW_TO_READ, CONTENT_WIDTH, size=8, muted=True)
    first = KeepTogether([heading("Flagged radiographs"), note, Spacer(0, 2 * mm), *shown[0]])
    return [first, *(KeepTogether(block) for block in shown[1:])]


def _flagged_block(image: ReportImage, points: tuple[float, ...]) -> list[Flowable]:
    pictures = [picture for picture in (image.picture, image.overlay) if picture is not None]
    if not pictures:
        return []
    probability = percent(image.probability, points)
    title = f"{_described(image)}: {_result(image)}, probability {probability}"
    # One scale for both, so that radiograph and overlay lie side by side line for line.
    scale = min(
        _PAIR_WIDTH / max(p.shape[1] for p in pictures),
        _PAIR_HEIGHT / max(p.shape[0] for p in pictures),
    )
    cells = [_picture(picture, scale) for picture in pictures]
    table = Table([cells], colWidths=[c.width + 4 * mm for c in cells], hAlign="LEFT")
    dashes = (5, 3) if image.grade is Grade.POSSIBLE else None
    frame = ("BOX", (0, 0), (-1, -1), 1.6, INK, 0, dashes)
    centred = ("ALIGN", (0, 0), (-1, -1), "CENTER")
    table.setStyle(TableStyle([*TIGHT, frame, centred, ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return [
        block(title, CONTENT_WIDTH, bold=True),
        Spacer(0, 1 * mm),
        table,
        Spacer(0, 5 * mm),
    ]


def _others_part(images: tuple[ReportImage, ...]) -> list[Flowable]:
    cells = [
        [_thumbnail(image.picture), block(_described(image), _THUMBNAIL_SIDE, size=7, muted=True)]
        for image in images
        if image.picture is not None and not image.grade
    ]
    if not cells:
        return []
    step = _THUMBNAILS_PER_ROW
    rows = [cells[at : at + step] for at in range(0, len(cells), step)]
    rows[-1] += [[]] * (step - len(rows[-1]))
    table = Table(rows, colWidths=[CONTENT_WIDTH / step] * step, hAlign="LEFT")
    table.setStyle(TableStyle([*SNUG, ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return [heading("Radiographs without a flag"), table, Spacer(0, 3 * mm)]


def _thumbnail(picture: npt.NDArray[np.uint8]) -> JpegPicture:
    return _picture(picture, _THUMBNAIL_SIDE / max(picture.shape[:2]))


def _picture(picture: npt.NDArray[np.uint8], scale: float) -> JpegPicture:
    """Put a picture on paper at `scale` points per pixel, with no more pixels than print shows."""
    height, width = picture.shape[0] * scale, picture.shape[1] * scale
    shown = reduced(picture, max(height, width) * _PRINT_PIXELS_PER_POINT)
    return JpegPicture(shown, width, height)


def _not_analysed_part(images: tuple[ReportImage, ...]) -> list[Flowable]:
    skipped = [image for image in images if image.probability is None]
    if not skipped:
        return []
    lines = [_bullet(f"{_described(image)}: {image.reason}") for image in skipped]
    return [heading("Not analysed, and why"), *lines, Spacer(0, 3 * mm)]


def _notes_part(images: tuple[ReportImage, ...]) -> list[Flowable]:
    lines = [_bullet(f"{image.label}: {note}") for image in images for note in image.notes]
    return [heading("Notes on reading"), *lines, Spacer(0, 3 * mm)] if lines else []


def _model_part(model: ReportModel | None) -> list[Flowable]:
    if model is None:
        return []
    points = (
        "Operating points: fracture possible from a probability of "
        f"{percent(model.sensitive_threshold)}, likely from {percent(model.specific_threshold)}."
    )
    return [
        KeepTogether(
            [
                heading("Model and its limits"),
                block(f"{model.name}, version {model.version}", CONTENT_WIDTH, bold=True),
                block(f"Digest {model.digest}", CONTENT_WIDTH, size=7.5, muted=True),
                block(points, CONTENT_WIDTH),
            ]
        ),
        *(_bullet(line) for line in model.summary),
    ]


def _bullet(text: str) -> Paragraph:
    return block(f"• {text}", CONTENT_WIDTH - 3 * mm, size=8.5, indent=3 * mm)
