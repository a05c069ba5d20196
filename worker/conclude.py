"""From what was found per radiograph to the study's outcome: pure, the only place that decides."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.outcomes import Outcome
from db.records import NewFinding
from models.prediction import OperatingPoint


@dataclass(frozen=True, slots=True)
class Verdict:
    """A study's outcome, the reason in words where one is due, and its highest probability."""

    outcome: Outcome
    reason: str
    probability: float | None


def conclude(findings: Sequence[NewFinding], *, unread: int) -> Verdict:
    """The study's outcome.

    Args:
        findings: one per analysed frame and one per instance that was not analysed.
        unread: how many of the not analysed are radiographs that may show what the model is for.
            They forbid a NEGATIVE: what nobody looked at is not negative.
    """
    analysed = [finding for finding in findings if finding.analysed]
    probability = max((f.probability for f in analysed if f.probability is not None), default=None)
    crossed = {finding.operating_point for finding in analysed}
    if OperatingPoint.SPECIFIC in crossed:
        return Verdict(Outcome.POSITIVE, "", probability)
    if OperatingPoint.SENSITIVE in crossed:
        return Verdict(Outcome.DOUBTFUL, "", probability)
    if not analysed:
        return Verdict(Outcome.NOT_ANALYSED, _reasons(findings), None)
    if unread:
        reason = (
            f"{unread} of {len(analysed) + unread} radiographs could not be analysed: "
            f"{_reasons(findings)}"
        )
        return Verdict(Outcome.INCOMPLETE, reason, probability)
    return Verdict(Outcome.NEGATIVE, "", probability)


def _reasons(findings: Sequence[NewFinding]) -> str:
    """Each distinct reason once, with how many instances have it."""
    reasons = [finding.reason for finding in findings if not finding.analysed]
    counted = {reason: reasons.count(reason) for reason in reasons}
    return "; ".join(
        reason if count == 1 else f"{reason} ({count} instances)"
        for reason, count in counted.items()
    )
