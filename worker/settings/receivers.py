"""What [[hl7]] and [[webhooks]] have in common: which results they hear of, and how fast."""

from typing import Annotated

from pydantic import AfterValidator, Field

from db.outcomes import Outcome


def _with_incomplete(outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Add INCOMPLETE to NOT_ANALYSED, of which it was a part in settings of earlier versions."""
    if Outcome.NOT_ANALYSED in outcomes and Outcome.INCOMPLETE not in outcomes:
        return (*outcomes, Outcome.INCOMPLETE)
    return outcomes


Outcomes = Annotated[
    tuple[Outcome, ...],
    AfterValidator(_with_incomplete),
    Field(
        min_length=1,
        description="Outcomes that it hears of. Leave NEGATIVE, INCOMPLETE or NOT_ANALYSED "
        "out only where nobody takes silence for a negative. NOT_ANALYSED brings INCOMPLETE with "
        "it.",
    ),
]
MessagesPerMinute = Annotated[
    int, Field(ge=1, description="Messages within a minute from which on others wait.")
]
