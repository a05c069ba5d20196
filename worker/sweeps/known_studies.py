"""The ledger as the place of a sweep: studies that were screened before and lie here still."""

import time
from collections.abc import Iterator
from pathlib import Path

from db.sweep_records import Candidate, SweepItem
from db.sweeps import Sweeps
from models.prediction import ModelIdentity
from worker.sweeps.difference import (
    UNDER_WAY,
    Decision,
    Excluded,
    ScreenAgain,
    why_not_again,
)
from worker.sweeps.places import Found
from worker.sweeps.selection import Selection

GONE = "its files are no longer here"
_STEP = 200


class KnownStudiesPlace:
    """All concluded studies. `model` is the one in use."""

    name = ""
    parallel = 1
    studies_per_hour: int | None = None
    slow_answer_s = float("inf")

    def __init__(
        self, selection: Selection, sweeps: Sweeps, model: ModelIdentity, data_folder: Path
    ) -> None:
        self._selection, self._sweeps, self._model = selection, sweeps, model
        self._data_folder = data_folder

    def search(self, cursor: str) -> Found:
        """The next two hundred."""
        page = self._sweeps.concluded(int(cursor or 0), _STEP)
        candidates = tuple(Candidate(uid, self._why_not(uid)) for _, uid in page)
        end = str(page[-1][0]) if page else cursor
        return Found(candidates, end, searched=len(page) < _STEP)

    def plan(self) -> Iterator[Decision]:
        """Look at all of them."""
        cursor, searched = "", False
        while not searched:
            found = self.search(cursor)
            for one in found.candidates:
                yield Excluded(one.excluded) if one.excluded else ScreenAgain()
            cursor, searched = found.cursor, found.searched

    def see_to(self, item: SweepItem) -> float:
        """Have it screened again."""
        began = time.monotonic()
        if not self._sweeps.screen_again(item.id):
            self._sweeps.exclude(item.id, UNDER_WAY)
        return time.monotonic() - began

    def _why_not(self, study_instance_uid: str) -> str:
        known = self._sweeps.known(study_instance_uid)
        if known is None:
            return GONE
        if reason := why_not_again(known, self._model, self._selection):
            return reason
        paths = self._sweeps.paths(study_instance_uid)
        # A screening without files would put FAILED in the place of what is known.
        return "" if all((self._data_folder / path).is_file() for path in paths) else GONE
