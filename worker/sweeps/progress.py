"""How far a sweep is and when it may be over. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.states import SweepStudyState
from db.sweep_records import SweepRecord, SweepTally


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """A sweep in the numbers that people follow it by."""

    found: int
    """Studies, those included that are not for it."""
    excluded: int
    fetched: int
    missing: int
    screened: int
    """Of the fetched ones, whatever the outcome."""
    to_do: int
    """Found, and neither screened, nor excluded, nor missing."""
    searched: bool
    """False: more may be found."""
    per_hour: float | None
    """Studies screened, on average from its begin to the last one; None: nothing to go by yet."""
    left: timedelta | None
    """Working time for what is to do, at that rate; None: not known, or nothing is."""

    @property
    def share(self) -> float:
        """Of what is found, what is done with, in [0, 1]."""
        return 1.0 if not self.found else 1.0 - self.to_do / self.found


def progress_of(sweep: SweepRecord, tally: SweepTally, now: datetime) -> SweepProgress:
    """From its row and its numbers."""
    studies = tally.studies
    found = sum(studies.values())
    open_studies = studies[SweepStudyState.FOUND] + studies[SweepStudyState.FETCHING]
    screened = sum(tally.outcomes.values())
    to_do = open_studies + tally.waiting
    ended = tally.last_concluded_at if not to_do else None
    hours = ((ended or now) - sweep.created_at) / timedelta(hours=1)
    per_hour = screened / hours if screened and hours > 0 else None
    return SweepProgress(
        found=found,
        excluded=studies[SweepStudyState.EXCLUDED],
        fetched=screened + tally.waiting,
        missing=studies[SweepStudyState.MISSING],
        screened=screened,
        to_do=to_do,
        searched=sweep.searched,
        per_hour=per_hour,
        left=timedelta(hours=to_do / per_hour) if per_hour and to_do else None,
    )
