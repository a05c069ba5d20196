"""Studies of the backlog, several at a time: read side by side, classified together."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from itertools import chain, islice
from queue import SimpleQueue
from typing import TypeGuard

from db.ledger import Ledger
from db.records import ClaimedStudy
from db.sweeps import Sweeps
from models.classifier import BATCH_SIZE
from worker.claimed_study import record_screening, screen_claim, sources_of
from worker.composition import utc_now
from worker.results import Source
from worker.screening import (
    Looked,
    ReadRadiographs,
    ReadSource,
    Screener,
    Screening,
    held_for_identity,
    leave_out_twins,
    screening_of,
)
from worker.settings import Settings
from worker.sweeps.quiet_results import are_wanted
from worker.sweeps.selection import Selection

MOST_PIXELS = 120_000_000
"""Read and not classified yet; 4 bytes each. An instance of more is taken alone."""

MOST_HELD = 24
"""Instances of a study that are held until its outcome is known; one of more is written as it is
read, whatever its outcome."""

Readings = Iterator[Looked | ReadSource | Exception]


class BatchReader:
    """Reads ahead with several readers, each in use by one thread at a time."""

    def __init__(self, readers: Sequence[ReadRadiographs]) -> None:
        self._free: SimpleQueue[ReadRadiographs] = SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._ahead = 2 * len(readers)
        self._pool = ThreadPoolExecutor(len(readers), thread_name_prefix="read")

    def look_at(
        self, screener: Screener, sources: Iterable[Source]
    ) -> Iterator[Looked | Exception]:
        """Each source looked at, in their order; one that broke gives its exception."""
        for chunk in _chunks(self._read_ahead(screener, sources)):
            looked = iter(_classify([one for one in chunk if _is_read(one)], screener))
            for one in chunk:
                yield one if isinstance(one, Exception) else next(looked)

    def close(self) -> None:
        """Wait for what is being read."""
        self._pool.shutdown()

    def _read_ahead(self, screener: Screener, sources: Iterable[Source]) -> Readings:
        waiting: deque[Future[Looked | ReadSource]] = deque()
        coming = iter(sources)
        for source in islice(coming, self._ahead):
            waiting.append(self._pool.submit(self._read, screener, source))
        while waiting:
            done = waiting.popleft()
            error = done.exception()
            if isinstance(error, Exception):
                yield error
            else:
                yield done.result()
            for source in islice(coming, 1):
                waiting.append(self._pool.submit(self._read, screener, source))

    def _read(self, screener: Screener, source: Source) -> Looked | ReadSource:
        reader = self._free.get()
        try:
            return screener.read(source, reader)
        finally:
            self._free.put(reader)


class Batch:
    """Screens claimed studies with one model."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        sweeps: Sweeps,
        screener: Screener,
        reader: BatchReader,
    ) -> None:
        self._settings, self._ledger, self._sweeps = settings, ledger, sweeps
        self._screener, self._reader = screener, reader
        self._delivers: dict[int, bool] = {}

    def screen(
        self, claims: Iterable[ClaimedStudy]
    ) -> Iterator[tuple[ClaimedStudy, Exception | None]]:
        """Each study as it is recorded, in their order; with the exception that broke it, if any.

        Claims are taken as their instances begin to be read.
        """
        waiting: deque[tuple[ClaimedStudy, Sequence[Source], datetime]] = deque()
        large: list[ClaimedStudy] = []

        def sources() -> Iterator[Source]:
            for claim in claims:
                own = sources_of(self._settings, claim)
                if len(own) > MOST_HELD:
                    large.append(claim)
                    continue
                waiting.append((claim, own, utc_now()))
                yield from own

        seen: list[Looked | Exception] = []
        for looked in self._reader.look_at(self._screener, sources()):
            seen.append(looked)
            claim, own, started_at = waiting[0]
            if len(seen) == len(own):
                waiting.popleft()
                yield claim, self._screen(claim, own, started_at, seen)
                seen = []
        for claim in large:
            yield claim, self._screen(claim, sources_of(self._settings, claim), utc_now(), None)

    def _screen(
        self,
        claim: ClaimedStudy,
        sources: Sequence[Source],
        started_at: datetime,
        seen: Sequence[Looked | Exception] | None,
    ) -> Exception | None:
        """`seen` None: nothing was read yet, since all of it could not be held."""
        if broken := next((one for one in seen or () if isinstance(one, Exception)), None):
            return broken
        try:
            if seen is None:
                screening = screen_claim(self._settings, self._screener, claim, sources)
            else:
                screening = self._screening(claim, sources, list(filter(_is_looked, seen)))
            record_screening(
                self._settings,
                self._ledger,
                claim,
                sources,
                self._screener.model,
                screening,
                started_at,
                sends=bool(screening.results) and self._sends(claim),
            )
        except Exception as error:  # the boundary: the other studies of the batch must go on
            return error
        return None

    def _screening(
        self, claim: ClaimedStudy, sources: Sequence[Source], looked_at: Sequence[Looked]
    ) -> Screening:
        """With result objects only where they are wanted: making them is most of the work."""
        held = held_for_identity(sources)
        if held is not None:
            return held
        looked_at = leave_out_twins(sources, looked_at)
        quiet = screening_of(looked_at)
        wanted = are_wanted(
            quiet.verdict.outcome, claim.delivered_outcome, self._settings.sweep.deliver
        )
        if not wanted:
            return quiet
        return screen_claim(self._settings, self._screener, claim, sources, looked_at=looked_at)

    def _sends(self, claim: ClaimedStudy) -> bool:
        sweep_id = claim.sweep_id
        if sweep_id is None:
            return True
        if sweep_id not in self._delivers:
            sweep = self._sweeps.find(sweep_id)
            self._delivers[sweep_id] = (
                sweep is None or Selection.from_json(dict(sweep.selection)).delivers
            )
        return self._delivers[sweep_id]


def _is_looked(one: Looked | Exception) -> TypeGuard[Looked]:
    return isinstance(one, Looked)


def _is_read(one: Looked | ReadSource | Exception) -> TypeGuard[Looked | ReadSource]:
    return not isinstance(one, Exception)


def _classify(
    sources: Sequence[Looked | ReadSource], screener: Screener
) -> Iterable[Looked | Exception]:
    """All at once; one by one where that breaks, so that one costs the others nothing."""
    try:
        return list(screener.classify(sources))
    except Exception as error:  # the boundary: each study must get its own end
        if len(sources) == 1:
            return [error]
        return chain.from_iterable(_classify([one], screener) for one in sources)


def _chunks(readings: Readings) -> Iterator[list[Looked | ReadSource | Exception]]:
    """As many as the engine takes in one pass, or as many pixels as may wait."""
    chunk: list[Looked | ReadSource | Exception] = []
    radiographs = pixels = 0
    for reading in readings:
        if isinstance(reading, ReadSource):
            full = radiographs + len(reading.radiographs) > BATCH_SIZE
            if chunk and (full or pixels + reading.pixels > MOST_PIXELS):
                yield chunk
                chunk, radiographs, pixels = [], 0, 0
            radiographs += len(reading.radiographs)
            pixels += reading.pixels
        chunk.append(reading)
    if chunk:
        yield chunk
