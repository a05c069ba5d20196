"""The watcher of conclusions: one question to the ledger for all who listen, and an end."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from db.errors import LedgerUnavailable
from db.outcomes import Outcome
from db.worklist_records import NewConclusion
from worklist import conclusions
from worklist.conclusions import Conclusions, News, TooManyListeners

PATIENCE_S = 30


class Ledger:
    """What was concluded, latest first, and how often it was asked."""

    def __init__(self) -> None:
        self.rows = [NewConclusion(1, Outcome.NEGATIVE, swept=False)]
        self.asked = 0
        self.broken = False

    def __call__(self) -> list[NewConclusion]:
        self.asked += 1
        if self.broken:
            raise LedgerUnavailable("away")
        return list(self.rows)

    def conclude(self, row_id: int, outcome: Outcome) -> None:
        self.rows = sorted(
            [*self.rows, NewConclusion(row_id, outcome, swept=False)],
            key=lambda one: -one.analysis_id,
        )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def watch(ledger: Ledger) -> Iterator[Conclusions]:
    watching = Conclusions(ledger, poll_s=0.01)
    watching.start()
    yield watching
    watching.stop()


async def next_news(stream: object) -> News:
    async with asyncio.timeout(PATIENCE_S):
        async for news in stream:  # type: ignore[attr-defined]
            if news is not None:
                return news
    raise AssertionError("the stream ended")


def test_all_who_listen_hear_of_it_and_the_ledger_is_asked_once_for_all(
    ledger: Ledger, watch: Conclusions
) -> None:
    async def run() -> None:
        streams = [watch.stream(None, 60) for _ in range(20)]
        for stream in streams:
            assert await anext(stream) is None
        ledger.conclude(2, Outcome.POSITIVE)
        before = ledger.asked
        heard = [await next_news(stream) for stream in streams]
        assert heard == [News(2, {"POSITIVE": 1})] * 20
        assert ledger.asked - before < 20
        for stream in streams:
            await stream.aclose()

    ledger_is_read(ledger)
    asyncio.run(run())


def test_the_first_study_of_all_is_told(ledger: Ledger) -> None:
    ledger.rows = []
    watch = Conclusions(ledger, poll_s=0.01)
    watch.start()
    ledger_is_read(ledger)

    async def run() -> None:
        stream = watch.stream(0, 60)
        await anext(stream)
        ledger.conclude(1, Outcome.POSITIVE)
        assert await next_news(stream) == News(1, {"POSITIVE": 1})
        await stream.aclose()

    asyncio.run(run())
    watch.stop()


def test_an_analysis_whose_id_is_lower_than_one_that_was_told_is_told_too(
    ledger: Ledger, watch: Conclusions
) -> None:
    async def run() -> None:
        stream = watch.stream(None, 60)
        await anext(stream)
        ledger.conclude(9, Outcome.POSITIVE)
        assert await next_news(stream) == News(9, {"POSITIVE": 1})
        ledger.conclude(5, Outcome.DOUBTFUL)
        assert (await next_news(stream)).counts == {"DOUBTFUL": 1}
        await stream.aclose()

    ledger_is_read(ledger)
    asyncio.run(run())


def test_who_comes_back_hears_what_was_concluded_meanwhile(
    ledger: Ledger, watch: Conclusions
) -> None:
    ledger.conclude(2, Outcome.POSITIVE)
    ledger.conclude(3, Outcome.POSITIVE)
    ledger_is_read(ledger)

    async def run() -> None:
        stream = watch.stream(1, 60)
        assert await anext(stream) == News(3, {"POSITIVE": 2})
        await stream.aclose()

    asyncio.run(run())


def test_a_ledger_that_was_away_costs_nobody_the_stream(ledger: Ledger, watch: Conclusions) -> None:
    async def run() -> None:
        stream = watch.stream(None, 60)
        await anext(stream)
        ledger.broken = True
        ledger_is_read(ledger)
        ledger.broken = False
        ledger.conclude(2, Outcome.FAILED)
        assert await next_news(stream) == News(2, {"FAILED": 1})
        await stream.aclose()

    ledger_is_read(ledger)
    asyncio.run(run())


def test_streams_end_when_the_watcher_stops_and_no_new_one_begins(watch: Conclusions) -> None:
    async def run() -> None:
        stream = watch.stream(None, 600)
        await anext(stream)
        threading.Timer(0.05, watch.stop).start()
        async with asyncio.timeout(PATIENCE_S):
            assert [news async for news in stream] == []
        with pytest.raises(TooManyListeners):
            await anext(watch.stream(None, 600))

    asyncio.run(run())


def test_a_stream_ends_after_its_time(watch: Conclusions) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            news = [one async for one in watch.stream(None, 0.05)]
        assert set(news) <= {None}

    asyncio.run(run())


def test_there_are_only_so_many_streams_and_one_that_ends_makes_room(
    watch: Conclusions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conclusions, "MOST_LISTENERS", 1)

    async def run() -> None:
        first = watch.stream(None, 60)
        await anext(first)
        with pytest.raises(TooManyListeners):
            await anext(watch.stream(None, 60))
        await first.aclose()
        second = watch.stream(None, 60)
        assert await anext(second) is None
        await second.aclose()

    asyncio.run(run())


def ledger_is_read(ledger: Ledger) -> None:
    """Wait until a look that begins now has ended."""
    before, waited = ledger.asked, threading.Event()
    for _ in range(PATIENCE_S * 100):
        if ledger.asked >= before + 2:
            return
        waited.wait(0.01)
    raise AssertionError("nobody asks")
