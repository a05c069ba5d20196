"""Where a sweep looks: what a PACS, a folder and the ledger have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from db.sweep_records import Candidate, SweepItem
from worker.sweeps.difference import Decision

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Found:
    """What one step of a search gave."""

    candidates: tuple[Candidate, ...]
    cursor: str
    """Where the next step goes on."""
    searched: bool
    """Nothing is left to search."""


class Place(Protocol):
    """Searched step by step; then each study that is found is seen to."""

    name: str
    """Of the source in the settings; "": no PACS."""
    parallel: int
    """Studies that may be seen to at the same time."""
    studies_per_hour: int | None
    slow_answer_s: float

    def search(self, cursor: str) -> Found:
        """The next step; "" begins. Raises AssociationFailed or OSError: it is away."""

    def plan(self) -> Iterator[Decision]:
        """What would become of every study, without doing it. Raises as `search`."""

    def see_to(self, item: SweepItem) -> float:
        """Exclude, fetch or take up one study, and enter that; seconds that it took to answer.

        Raises as `search`, and then the study's turn comes again.
        """


def retry_after(attempts: int) -> timedelta:
    """The pause before a study is asked for again, after so many times."""
    return min(FIRST_RETRY * 2.0 ** min(attempts, 20), LONGEST_RETRY)
