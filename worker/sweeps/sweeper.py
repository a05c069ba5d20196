"""Moves sweeps on, a slice of time each, within window and limits. Any number may run."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Event, Thread

import structlog

from db.errors import LedgerError
from db.sweep_records import SweepItem, SweepRecord
from db.sweeps import Sweeps
from dicom_node.errors import DicomNodeError, SpoolError
from dicom_node.spool import Spool
from worker.settings import Settings
from worker.sweeps.pace import Pace
from worker.sweeps.places import Place
from worker.sweeps.selection import Selection

_log = structlog.get_logger(__name__)

SLICE_S = 30.0
LEASE = timedelta(seconds=20)
"""Prolonged while we live: after a kill, another worker goes on so soon."""
_PROLONG_S = 5.0
BROKE = "seeing to it broke with"
_HOUR = timedelta(hours=1)
_ROUND = 4
"""Studies per thread between two looks at the limits."""

MakePlace = Callable[[SweepRecord], Place]


class Sweeper:
    """Advances whatever sweep waited longest.

    Args:
        place_of: where a sweep looks; ValueError: not any more, the settings have changed.
        owner: who holds the lease.
        monotonic: seconds, for slices and pauses.
    """

    def __init__(
        self,
        settings: Settings,
        sweeps: Sweeps,
        spool: Spool,
        place_of: MakePlace,
        owner: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._sweeps, self._spool = settings, sweeps, spool
        self._place_of, self._owner = place_of, owner
        self._clock, self._monotonic = clock, monotonic
        self.window = settings.sweep.window
        self._paces: dict[str, Pace] = {}
        self._not_before: dict[str, float] = {}

    def advance(self) -> bool:
        """Give one sweep a slice; False: no sweep is to be advanced, or another worker does."""
        sweep = self._sweeps.claim(self._owner, LEASE)
        if sweep is None:
            return False
        remark = ""
        try:
            with self._lease_kept(sweep.id):
                remark = self._advance(sweep)
        except (DicomNodeError, OSError) as error:
            remark = str(error)
            _log.warning("sweep_interrupted", sweep=sweep.id, reason=remark)
        finally:
            self._sweeps.release(sweep.id, self._owner, remark)
        return True

    def _advance(self, sweep: SweepRecord) -> str:
        """Work until the slice is over; why it waits, "" if it does not."""
        if waits := self._waits_for_window(sweep):
            return waits
        try:
            place = self._place_of(sweep)
        except ValueError as error:
            return str(error)
        ends = self._monotonic() + SLICE_S
        while self._monotonic() < ends:
            if not self._sweeps.hold(sweep.id, self._owner, LEASE):
                return ""
            if waits := self._waits_for_window(sweep) or self._waits_for_place(place):
                return waits
            if (room := self._room(place)) <= 0:
                return "pauses: " + self._limit_reached(place)
            if waits := self._step(sweep, place, room):
                return waits
            if self._sweeps.finish_if_done(sweep.id):
                _log.info("sweep_finished", sweep=sweep.id)
                return ""
        return ""

    @contextmanager
    def _lease_kept(self, sweep_id: int) -> Iterator[None]:
        """However long a PACS takes."""
        over = Event()

        def prolong() -> None:
            while not over.wait(_PROLONG_S):
                with suppress(LedgerError):  # the next try may go better
                    self._sweeps.hold(sweep_id, self._owner, LEASE)

        keeper = Thread(target=prolong, name="keep-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def _step(self, sweep: SweepRecord, place: Place, room: int) -> str:
        """Studies that are found come first; where there are none, the search goes on."""
        items = self._sweeps.to_see_to(sweep.id, min(room, place.parallel * _ROUND))
        if items:
            return self._see_to(place, items)
        now = self._sweeps.find(sweep.id)
        if now is not None and not now.searched:
            return self._search(now, place)
        turn = self._sweeps.next_turn(sweep.id)
        if turn is not None and turn > self._clock():
            return f"asks again at {self._settings.sweep.local(turn)} for what did not come"
        return ""

    def _search(self, sweep: SweepRecord, place: Place) -> str:
        try:
            found = place.search(sweep.cursor)
        except (DicomNodeError, OSError) as error:
            return self._slow_down(place, error)
        self._sweeps.record_search(
            sweep.id, found.candidates, found.cursor, searched=found.searched
        )
        return ""

    def _see_to(self, place: Place, items: list[SweepItem]) -> str:
        def see_to(item: SweepItem) -> float | Exception:
            return self._outcome(place, item)

        if place.parallel == 1:
            outcomes = [see_to(item) for item in items]
        else:
            with ThreadPoolExecutor(place.parallel, thread_name_prefix="fetch") as pool:
                outcomes = list(pool.map(see_to, items))
        broken = next((one for one in outcomes if isinstance(one, Exception)), None)
        if broken is not None:
            return self._slow_down(place, broken)
        slowest = max(one for one in outcomes if not isinstance(one, Exception))
        return self._keep_pace(place, slowest)

    def _outcome(self, place: Place, item: SweepItem) -> float | Exception:
        try:
            return place.see_to(item)
        except (DicomNodeError, OSError) as error:
            return error
        except LedgerError:
            raise
        except Exception as error:  # the boundary: one study must not stop the sweep for ever
            kind = type(error).__name__
            _log.error("sweep_study_broke", study_instance_uid=item.study_instance_uid, kind=kind)
            self._sweeps.exclude(item.id, f"{BROKE} {kind}")
            return 0.0

    def _slow_down(self, place: Place, error: Exception) -> str:
        """A place that is away is treated as one that is slow: it is asked ever less often."""
        self._keep_pace(place, float("inf"))
        if isinstance(error, SpoolError):
            return f"pauses: {error}"
        return f"{error}; asks again in {self._pace(place).pause_s:.0f} s"

    def _keep_pace(self, place: Place, answer_s: float) -> str:
        if place.slow_answer_s == float("inf") and answer_s != float("inf"):
            return ""
        pace = self._pace(place).after(answer_s)
        self._paces[place.name] = pace
        self._not_before[place.name] = self._monotonic() + pace.pause_s
        if not pace.pause_s:
            return ""
        return f"{place.name} answers slowly: pauses for {pace.pause_s:.0f} s"

    def _pace(self, place: Place) -> Pace:
        return self._paces.get(place.name, Pace(place.slow_answer_s))

    def _waits_for_window(self, sweep: SweepRecord) -> str:
        if Selection.from_json(dict(sweep.selection)).any_time:
            return ""
        now = self._clock()
        if self.window.is_open(now):
            return ""
        return f"waits for {self._settings.sweep.local(self.window.opens_after(now))}"

    def _waits_for_place(self, place: Place) -> str:
        if not self._spool.has_room():
            return f"pauses: less than {self._settings.listener.minimum_free_mib} MiB free"
        left = self._not_before.get(place.name, 0.0) - self._monotonic()
        if left > 0:
            return f"{place.name or 'the folder'} is left alone for {left:.0f} s more"
        return ""

    def _room(self, place: Place) -> int:
        """How many studies may be taken now."""
        waiting = self._settings.sweep.waiting_studies - self._sweeps.under_way()
        if place.studies_per_hour is None:
            return waiting
        taken = self._sweeps.taken_since(place.name, self._clock() - _HOUR)
        return min(waiting, place.studies_per_hour - taken)

    def _limit_reached(self, place: Place) -> str:
        waiting = self._sweeps.under_way()
        if waiting >= self._settings.sweep.waiting_studies:
            return f"{waiting} fetched studies wait for screening"
        return f"{place.studies_per_hour} studies within the hour"
