"""What the pages read the ledger with, and keep for a few seconds."""

from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Request

from db.reviews import Reviews
from db.worklist import Worklist
from db.worklist_records import WorklistChoices, WorklistCounts
from worklist.conclusions import Conclusions
from worklist.parts import Parts
from worklist.recent import Recent

_COUNTS_S = 5
_CHOICES_S = 60
_PICTURES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """One per application, shared by its requests."""

    parts: Parts
    worklist: Worklist
    reviews: Reviews
    conclusions: Conclusions
    counts: Recent[WorklistCounts]
    choices: Recent[WorklistChoices]
    picture_slots: anyio.CapacityLimiter
    """Threads that pictures have for themselves: lists do not wait for them."""

    @classmethod
    def over(cls, parts: Parts) -> "Reading":
        """Connects to nothing yet."""
        worklist = Worklist(parts.engine, parts.clock)
        return cls(
            parts,
            worklist,
            Reviews(parts.engine, parts.clock),
            Conclusions(worklist.latest_conclusions),
            Recent(worklist.counts, _COUNTS_S),
            Recent(worklist.choices, _CHOICES_S),
            anyio.CapacityLimiter(_PICTURES_AT_ONCE),
        )


def _of_application(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


InReach = Annotated[Reading, Depends(_of_application)]
"""For a handler's argument."""
