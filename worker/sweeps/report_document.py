"""The PDF of a sweep: plain content in, bytes out. No DICOM, no database rows, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer, Table, TableStyle

from db.outcomes import OUTCOMES, Outcome, percent
from worker.report.blocks import RULE, SHADE, SNUG, block, cut, heading, pdf_of
from worker.report.page import CONTENT_WIDTH, numbered_canvas

TITLE = "Backlog sweep report"
_LONGEST_CELL = 120
_HOW_TO_READ = (
    "Studies that the model flags now and did not flag before, the likeliest first. A flag is no "
    "diagnosis: most flagged studies of a backlog have been read, and many of them have no "
    "fracture. A study that is not listed is not thereby without one."
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A study that is flagged now and was not before, as its source states it."""

    probability: float
    outcome: Outcome
    previous_outcome: Outcome | None
    """Of the analysis before; None: there was none."""
    patient_name: str
    patient_id: str
    study_date: str
    accession_number: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class SweepContent:
    """All that the report of a sweep says."""

    number: int
    place: str
    lines: Sequence[tuple[str, str]]
    """What was done when, in numbers: label and value."""
    outcomes: Mapping[Outcome, int]
    excluded: Mapping[str, int]
    """Reason → studies; likewise the next two."""
    missing: Mapping[str, int]
    unscreened: Mapping[str, int]
    changed: Mapping[tuple[Outcome, Outcome], int]
    """(outcome before, outcome now) → studies."""
    suspects: Sequence[Suspect]
    """Those that are listed here."""
    suspect_count: int


def render_sweep_report(content: SweepContent) -> bytes:
    """A4 portrait, English; any text is shown literally."""
    foot = f"Sweep {content.number}: {content.place}"
    return pdf_of(
        _story(content),
        TITLE,
        "AI result, not for primary diagnosis",
        numbered_canvas(TITLE, foot),
    )


def _story(content: SweepContent) -> list[Flowable]:
    outcomes = {
        OUTCOMES[outcome].word: content.outcomes[outcome]
        for outcome in OUTCOMES
        if content.outcomes.get(outcome)
    }
    changes = {
        f"{OUTCOMES[before].word} before, now {OUTCOMES[now].word}": count
        for (before, now), count in content.changed.items()
    }
    return [
        block(f"{TITLE} {content.number}", CONTENT_WIDTH, size=16, bold=True),
        block(content.place, CONTENT_WIDTH, size=10, muted=True),
        Spacer(0, 3 * mm),
        _pairs([(label, value) for label, value in content.lines]),
        *_part("Outcomes", "outcome", outcomes),
        *_part("Compared with the analysis before", "outcome", changes),
        *_suspects_part(content),
        *_part("Not analysed or failed, and why", "reason", content.unscreened),
        *_part("Missing: asked for and not all of it came", "reason", content.missing),
        *_part("Not for this sweep, and why", "reason", content.excluded),
    ]


def _suspects_part(content: SweepContent) -> list[Flowable]:
    title = heading(f"Suspected missed fractures: {content.suspect_count}")
    if not content.suspects:
        return [title, block("None.", CONTENT_WIDTH)]
    left = content.suspect_count - len(content.suspects)
    more = [block(f"And {left} more: see suspected.csv.", CONTENT_WIDTH)] if left else []
    names = ("Probability", "Flag", "Before", "Patient", "Patient ID", "Study date", "Accession")
    widths = [22 * mm, 21 * mm, 21 * mm, 0, 32 * mm, 21 * mm, 24 * mm]
    widths[3] = CONTENT_WIDTH - sum(widths)
    rows = [
        (
            percent(one.probability),
            OUTCOMES[one.outcome].word,
            OUTCOMES[one.previous_outcome].word if one.previous_outcome else "never screened",
            one.patient_name or "not stated",
            one.patient_id or "not stated",
            one.study_date or "not stated",
            one.accession_number or "not stated",
        )
        for one in content.suspects
    ]
    return [
        title,
        block(_HOW_TO_READ, CONTENT_WIDTH, muted=True),
        _table(names, rows, widths),
        *more,
    ]


def _part(title: str, name: str, counts: Mapping[str, int]) -> list[Flowable]:
    if not counts:
        return []
    rows = [(label, str(count)) for label, count in counts.items()]
    widths = [CONTENT_WIDTH - 25 * mm, 25 * mm]
    return [heading(title), _table((name, "studies"), rows, widths)]


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    widths = [55 * mm, CONTENT_WIDTH - 55 * mm]
    rows = [
        [block(label, widths[0] - 8, muted=True), block(cut(value, 300), widths[1] - 8)]
        for label, value in pairs
    ]
    table = Table(rows, colWidths=widths)
    table.setStyle(TableStyle([*SNUG, ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE)]))
    return table


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Table:
    head = [
        block(name, width - 8, size=8, bold=True) for name, width in zip(names, widths, strict=True)
    ]
    cells = [
        [
            block(cut(cell, _LONGEST_CELL), width - 8, size=8)
            for cell, width in zip(row, widths, strict=True)
        ]
        for row in rows
    ]
    table = Table([head, *cells], colWidths=list(widths), repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                *SNUG,
                ("BACKGROUND", (0, 0), (-1, 0), SHADE),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
            ]
        )
    )
    return table
