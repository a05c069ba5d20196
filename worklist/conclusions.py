"""Tells all open lists of newly concluded studies: one thread asks the ledger for all of them."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from db.errors import LedgerError
from db.worklist_records import NewConclusion

_log = structlog.get_logger(__name__)

MOST_LISTENERS = 300
_POLL_S = 2.0
_HEARTBEAT_S = 15.0
_UNREAD = 50
"""Messages that a browser which does not take them may leave behind."""


@dataclass(frozen=True, slots=True)
class News:
    """What was concluded since the news before."""

    latest_id: int
    """Of the analysis recorded last: where a stream that broke goes on."""
    counts: Mapping[str, int]
    """Outcome → how many studies were concluded so."""


class TooManyListeners(Exception):
    """No more streams than MOST_LISTENERS."""


class Conclusions:
    """Started and stopped with the application."""

    def __init__(
        self, latest: Callable[[], Sequence[NewConclusion]], poll_s: float = _POLL_S
    ) -> None:
        """`latest` gives the analyses recorded last, latest first."""
        self._latest = latest
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._listeners: set[_Listener] = set()
        self._recent: Sequence[NewConclusion] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True, name="conclusions")

    def start(self) -> None:
        """Ask from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End all streams, so that the server can end."""
        self._stop.set()
        for listener in self._listening():
            listener.tell(None)

    async def stream(self, after: int | None, longest_s: float) -> AsyncIterator[News | None]:
        """What is concluded after the analysis of id `after` (None: from now on).

        None now and then: there is no news, but we live. Ends after `longest_s` seconds, so that
        who listens is looked at again. Raises TooManyListeners at the first step.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + longest_s
        listener = _Listener(loop)
        missed = self._add(listener, after)
        try:
            # At once, so that whoever asks knows that the stream stands.
            yield _news(missed) if missed else None
            while (left := deadline - loop.time()) > 0:
                try:
                    news = await asyncio.wait_for(listener.queue.get(), min(_HEARTBEAT_S, left))
                except TimeoutError:
                    yield None
                    continue
                if news is None:
                    return
                yield news
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _add(self, listener: "_Listener", after: int | None) -> list[NewConclusion]:
        with self._lock:
            if len(self._listeners) >= MOST_LISTENERS or self._stop.is_set():
                raise TooManyListeners
            self._listeners.add(listener)
            recent = self._recent or ()
            return [] if after is None else [one for one in recent if one.analysis_id > after]

    def _listening(self) -> list["_Listener"]:
        with self._lock:
            return list(self._listeners)

    def _watch(self) -> None:
        while True:
            try:
                self._look()
            except LedgerError as error:  # it comes back, and the pages say so
                _log.warning("conclusions_not_read", kind=type(error).__name__)
            if self._stop.wait(self._poll_s):
                return

    def _look(self) -> None:
        latest = self._latest()
        with self._lock:
            # By their ids, not by the greatest of them: a long transaction's id is an old one.
            known = {one.analysis_id for one in (latest if self._recent is None else self._recent)}
            new = [one for one in latest if one.analysis_id not in known]
            self._recent = latest
            listeners = list(self._listeners)
        for listener in listeners if new else ():
            listener.tell(_news(new))


class _Listener:
    """One open list, in the event loop of its connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue: asyncio.Queue[News | None] = asyncio.Queue()

    def tell(self, news: News | None) -> None:
        """From any thread; None ends the stream."""
        # The loop may have ended between our look and our call.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, news)

    def _put(self, news: News | None) -> None:
        if news is None or self.queue.qsize() < _UNREAD:
            self.queue.put_nowait(news)


def _news(new: Sequence[NewConclusion]) -> News:
    return News(
        max(one.analysis_id for one in new), dict(Counter(one.outcome.value for one in new))
    )
