"""`/events`: a stream that tells open lists of newly concluded studies; no word of whose."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from worklist.conclusions import News, TooManyListeners
from worklist.pages.reading import InReach
from worklist.people.access import Listener

router = APIRouter(include_in_schema=False)

_LONGEST_S = 60
"""Then the browser comes again, and who listens is looked at again."""
_RETRY_MS = 5000


@router.get("/events")
async def events(request: Request, reading: InReach, _who: Listener) -> StreamingResponse:
    """Server-sent events; the browser comes again by itself where a stream ends."""
    stream = reading.conclusions.stream(_last_heard(request), _LONGEST_S)
    try:
        first = await anext(stream)
    except TooManyListeners:
        raise HTTPException(503, "too many lists are open", {"Retry-After": "60"}) from None
    return StreamingResponse(
        _messages(first, stream),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _last_heard(request: Request) -> int | None:
    text = request.headers.get("Last-Event-ID") or request.query_params.get("after", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


async def _messages(first: News | None, rest: AsyncIterator[News | None]) -> AsyncIterator[str]:
    yield f"retry: {_RETRY_MS}\n\n" + _message(first)
    async for news in rest:
        yield _message(news)


def _message(news: News | None) -> str:
    if news is None:
        return ": still here\n\n"
    return f"id: {news.latest_id}\nevent: concluded\ndata: {json.dumps(dict(news.counts))}\n\n"
