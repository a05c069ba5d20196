"""What [[hl7]] and [[webhooks]] have in common: which results they hear of, and how fast."""

from typing import Annotated

from pydantic import Field

from db.states import Outcome

Outcomes = Annotated[
    tuple[Outcome, ...],
    Field(
        min_length=1,
        description="Outcomes that it hears of. Leave NEGATIVE or NOT_ANALYSED out only where "
        "nobody takes silence for a negative.",
    ),
]
ALL_OUTCOMES = (Outcome.POSITIVE, Outcome.DOUBTFUL, Outcome.NEGATIVE, Outcome.NOT_ANALYSED)

MessagesPerMinute = Annotated[
    int, Field(ge=1, description="Messages within a minute from which on others wait.")
]
