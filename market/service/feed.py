"""Server-sent events: every event of the market, or of one job, once it is as deep as the network's confirmations.

    id: 1042:3          block:logIndex, to be sent back as Last-Event-ID by a client that lost its line
    event: Revealed
    data: {"id": "1042:3", "name": "Revealed", "job": "0x…", "args": {…}, "tx": "0x…", …}

Only events that deep are told, so an id names one event however the chain's tip changes.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from sse_starlette import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from heldout.market.artifacts.throttle import Throttled
from heldout.market.service.reading import EVENT_PAGE, Place, Reading, parse_place

MOST_STREAMS = 100
MOST_FROM_ONE = 20
"""Streams of one client; nodes behind one address share it."""
_COME_BACK_S = 10


class Feed:
    """Wakes the streams at every block. Made and read in the event loop; `tell` may be called from any thread."""

    def __init__(self, reading: Reading, confirmations: int) -> None:
        self._reading, self._confirmations = reading, confirmations
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._open: Counter[str] = Counter()

    def start(self) -> None:
        """Called once, in the event loop."""
        self._loop = asyncio.get_running_loop()

    def tell(self) -> None:
        """A block was indexed."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """For one stream, until it ends. Raises Throttled if too many listen already, or this client too often."""
        if self._open.total() >= MOST_STREAMS or self._open[client] >= MOST_FROM_ONE:
            raise Throttled(_COME_BACK_S)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets clients that have none

    async def stream(self, after: Place, job: str, *, plain: bool = False) -> AsyncIterator[ServerSentEvent]:
        """Events after a place, for ever."""
        while True:
            news = self._news
            events = await run_in_threadpool(self._confirmed, after, job)
            for event in events:
                yield ServerSentEvent(json.dumps(event), event=None if plain else event["name"], id=event["id"])
                after = parse_place(event["id"])
            if len(events) < EVENT_PAGE:
                await news.wait()

    def _confirmed(self, after: Place, job: str) -> list[dict[str, Any]]:
        block = self._reading.block()
        return [] if block is None else self._reading.events(after=after, job=job, until=block - self._confirmations)
