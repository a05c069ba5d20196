"""Sweeps speak of what matters, and never leave a wrong result standing in silence."""

import pytest

from db.outcomes import Outcome
from worker.sweeps.quiet_results import are_wanted


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
