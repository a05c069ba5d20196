"""Sweeps speak of what matters, and never leave a wrong result standing in silence."""

from datetime import date

import pytest

from db.states import Outcome
from worker.sweeps.quiet_results import are_wanted, may_notify

TODAY = date(2026, 3, 4)


@pytest.mark.parametrize(
    ("outcome", "delivered", "wanted"),
    [
        (Outcome.POSITIVE, None, True),
        (Outcome.POSITIVE, Outcome.POSITIVE, True),
        (Outcome.NEGATIVE, None, False),
        (Outcome.NEGATIVE, Outcome.NEGATIVE, False),
        (Outcome.NEGATIVE, Outcome.POSITIVE, True),
        (Outcome.DOUBTFUL, Outcome.NEGATIVE, True),
        (Outcome.NOT_ANALYSED, None, False),
    ],
)
def test_results_are_made_of_positives_and_of_what_contradicts_results_before(
    outcome: Outcome, delivered: Outcome | None, wanted: bool
) -> None:
    assert are_wanted(outcome, delivered, (Outcome.POSITIVE,)) is wanted


@pytest.mark.parametrize(
    ("study_day", "reported", "may"),
    [
        (date(2026, 3, 4), False, True),
        (date(2026, 3, 2), False, True),
        (date(2026, 3, 1), False, False),
        (date(2026, 3, 4), True, False),
        (None, False, False),
    ],
)
def test_nobody_is_notified_of_old_or_reported_studies(
    study_day: date | None, reported: bool, may: bool
) -> None:
    assert may_notify(study_day, TODAY, 2, reported=reported) is may
