"""Outcomes of an analysis, of a study and of one radiograph: the one table of their words.

Whoever shows, sends or stores an outcome reads it here: the pages, the report, the heatmap, HL7
messages, webhooks, tables and settings. No DICOM, no networks, no other module of the product.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Outcome(StrEnum):
    """The outcome of a study's analysis. The values are stored and sent."""

    POSITIVE = "POSITIVE"
    """Some radiograph reaches the specific operating point."""
    DOUBTFUL = "DOUBTFUL"
    """Some radiograph reaches the sensitive operating point, none the specific one."""
    INCOMPLETE = "INCOMPLETE"
    """Nothing is flagged in what was analysed, but not every radiograph was."""
    NOT_ANALYSED = "NOT_ANALYSED"
    """No radiograph was analysed; the findings tell the reason per instance."""
    FAILED = "FAILED"
    """Something broke; the reason is recorded."""
    NEGATIVE = "NEGATIVE"
    """Every radiograph was analysed and stays below both operating points, or surely shows a body
    part that the model is not for."""


class Grade(StrEnum):
    """The operating point that one analysed radiograph reaches. The values are stored."""

    LIKELY = "specific"
    POSSIBLE = "sensitive"
    BELOW = ""
    """Neither."""


@dataclass(frozen=True, slots=True)
class OutcomeTerms:
    """How one outcome is shown and sent."""

    word: str
    """For readers; capitalised as at the beginning of a sentence."""
    statement: str
    """What the report says below the word, one or two sentences."""
    style: str
    """Class of colour and name of the shape, on pages."""
    colour: str
    """Of the report's band, #RRGGBB."""
    hl7_code: str
    """OBX-5 of RESULT."""
    hl7_abnormal: str = ""
    """OBX-8, HL7 table 0078; "" where nothing can be said."""
    flagged: bool = False
    """Whether a fracture is suspected."""
    told: bool = True
    """Whether receivers of messages hear of it unless their settings say otherwise."""


_MOST_DIGITS = 4
_NOTHING_SAID = "Nothing is said about the presence of a fracture."

OUTCOMES: Mapping[Outcome, OutcomeTerms] = MappingProxyType(
    {
        Outcome.POSITIVE: OutcomeTerms(
            "Fracture likely",
            "At least one radiograph reaches the operating point for a likely fracture.",
            style="positive",
            colour="#9B1C1C",
            hl7_code="LIKELY",
            hl7_abnormal="A",
            flagged=True,
        ),
        Outcome.DOUBTFUL: OutcomeTerms(
            "Fracture possible",
            "At least one radiograph reaches the operating point for a possible fracture, none "
            "that for a likely one.",
            style="doubtful",
            colour="#A84300",
            hl7_code="POSSIBLE",
            hl7_abnormal="A",
            flagged=True,
        ),
        Outcome.INCOMPLETE: OutcomeTerms(
            "Incomplete",
            "Not every radiograph of this study was analysed. Nothing is flagged in those that "
            "were; nothing is said about the others. This does not exclude a fracture.",
            style="incomplete",
            colour="#5A4A1A",
            hl7_code="INCOMPLETE",
        ),
        Outcome.NOT_ANALYSED: OutcomeTerms(
            "Not analysed",
            f"No radiograph of this study was analysed. {_NOTHING_SAID}",
            style="not-analysed",
            colour="#5B5F66",
            hl7_code="NOT-ANALYSED",
        ),
        Outcome.FAILED: OutcomeTerms(
            "Failed",
            f"The analysis did not finish. {_NOTHING_SAID}",
            style="failed",
            colour="#3B2A55",
            hl7_code="FAILED",
            told=False,
        ),
        Outcome.NEGATIVE: OutcomeTerms(
            "No fracture flagged",
            "All analysed radiographs are below both operating points. This does not exclude a "
            "fracture.",
            style="negative",
            colour="#33475B",
            hl7_code="NEGATIVE",
            hl7_abnormal="N",
        ),
    }
)
"""Every outcome, in the order in which they are listed: what needs a reader first."""

GRADES: Mapping[Grade, Outcome] = MappingProxyType(
    {
        Grade.LIKELY: Outcome.POSITIVE,
        Grade.POSSIBLE: Outcome.DOUBTFUL,
        Grade.BELOW: Outcome.NEGATIVE,
    }
)
"""What a study of this one radiograph would be: a grade is shown with that outcome's words."""

FLAGGED = tuple(outcome for outcome, terms in OUTCOMES.items() if terms.flagged)
NOT_WHOLLY_ANALYSED = (Outcome.INCOMPLETE, Outcome.NOT_ANALYSED)
"""Something was left out; the reason says what."""
TOLD = tuple(outcome for outcome, terms in OUTCOMES.items() if terms.told)


def grade_word(grade: Grade) -> str:
    """Return what readers see for one radiograph's grade: "Fracture likely" and so on."""
    return OUTCOMES[GRADES[grade]].word


def percent(probability: float | None, beside: Iterable[float] = ()) -> str:
    """Return a probability as people read it: "3.5 %", "62 %", "> 99 %"; "" where it is not known.

    It never rounds to certainty. `beside`: thresholds that are shown with it: digits are added
    until what lies below one of them also reads so.
    """
    if probability is None:
        return ""
    if probability > 0.99:
        return "> 99 %"
    if probability < 0.001:
        return "< 0.1 %"
    above = [threshold for threshold in beside if probability < threshold]
    digits = 0 if probability >= 0.0995 else 1
    while digits < _MOST_DIGITS and any(
        round(100 * probability, digits) >= round(100 * threshold, digits) for threshold in above
    ):
        digits += 1
    return f"{100 * probability:.{digits}f} %"
