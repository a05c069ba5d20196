"""Which results of a sweep are made and sent, and which studies nobody is notified of."""

from collections.abc import Collection
from datetime import date, timedelta

from db.states import Outcome


def are_wanted(
    outcome: Outcome, delivered_outcome: Outcome | None, wanted: Collection[Outcome]
) -> bool:
    """Whether results are made and sent.

    Args:
        delivered_outcome: of the analysis before, if results were made of it; None: there were
            none. Where the PACS has results that say something else, silence would leave them
            standing.
        wanted: outcomes whose results always are.
    """
    return outcome in wanted or (delivered_outcome is not None and outcome != delivered_outcome)


def may_notify(study_day: date | None, today: date, notify_days: int, *, reported: bool) -> bool:
    """Whether people are told at once of what a sweep found.

    Args:
        study_day: Study Date; None: not stated, and then nobody is.
        reported: whether a radiologist has reported the study already.
    """
    if reported or study_day is None:
        return False
    return today - study_day <= timedelta(days=notify_days)
