"""What people read for the terms of the ledger, and how numbers and times are put."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.outcomes import GRADES, OUTCOMES, Grade, Outcome
from db.outcomes import percent as percent
from db.records import NewFinding
from db.states import DeliveryState, FlagKind, ReviewOutcome, StudyState


@dataclass(frozen=True, slots=True)
class Sign:
    """A word with its shape and colour: none of the three stands alone."""

    word: str
    css: str
    """Class of colour, and name of the shape."""


WAITING = Sign("waiting", "waiting")
OUTCOME_SIGNS: dict[Outcome, Sign] = {
    outcome: Sign(terms.word, terms.style) for outcome, terms in OUTCOMES.items()
}
"""In the order in which they are listed."""

STATES: dict[StudyState, str] = {
    StudyState.RECEIVING: "images are arriving",
    StudyState.READY: "complete, waits for its turn",
    StudyState.QUEUED: "waits for a worker",
    StudyState.SCREENING: "is being screened",
    StudyState.SCREENED: "screened",
    StudyState.FAILED: "failed",
}

DELIVERIES: dict[DeliveryState, Sign] = {
    DeliveryState.PENDING: Sign("to be sent", "waiting"),
    DeliveryState.SENT: Sign("sent", "negative"),
    DeliveryState.COMMITTED: Sign("kept there, confirmed", "negative"),
    DeliveryState.FAILED: Sign("not delivered, given up", "failed"),
    DeliveryState.WITHDRAWN: Sign("withdrawn, never sent", "not-analysed"),
}

RESULTS = {
    "overlay": "Heatmap",
    "report": "Report",
    FlagKind.HL7: "HL7 message",
    FlagKind.WEBHOOK: "webhook",
}

REVIEWS: dict[ReviewOutcome, str] = {
    ReviewOutcome.AGREE: "agree",
    ReviewOutcome.DISAGREE: "disagree",
    ReviewOutcome.ELSEWHERE: "fracture elsewhere",
    ReviewOutcome.BAD_HEATMAP: "bad heatmap",
}

_TURNS_DIRECTION = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def outcome_sign(outcome: Outcome | None) -> Sign:
    """Of a study; None: it has no outcome yet."""
    return WAITING if outcome is None else OUTCOME_SIGNS[outcome]


def finding_sign(finding: NewFinding | None, outcome: Outcome | None = None) -> Sign:
    """The sign of one image.

    Args:
        finding: what the analysis in force says of it; None: nothing.
        outcome: of that analysis; None: the study has none yet.
    """
    if finding is None:
        return OUTCOME_SIGNS[Outcome.FAILED] if outcome is Outcome.FAILED else WAITING
    if not finding.analysed:
        return OUTCOME_SIGNS[Outcome.NOT_ANALYSED]
    return OUTCOME_SIGNS[GRADES[Grade(finding.operating_point)]]


def lapse(since: datetime, until: datetime) -> str:
    """How long it has been, in the one unit that fits: "3 min", "2 h", "5 days"."""
    minutes = int(max(until - since, timedelta(0)).total_seconds() // 60)
    if minutes < 1:
        return "< 1 min"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return f"{minutes // (24 * 60)} days"


def shown(text: str) -> str:
    """A peer's text with its control characters made visible; it still has to be escaped.

    Those that turn the direction of writing too: a name must not read as another one.
    """
    return "".join(_picture(letter) for letter in text)


def _picture(letter: str) -> str:
    code = ord(letter)
    if code < 0x20:
        return chr(0x2400 + code)
    if 0x7F <= code < 0xA0:
        return "\u2421"
    return "\ufffd" if letter in _TURNS_DIRECTION else letter
