"""Turns: requests that wait for somebody else (the chain, a store, a language model) do so with few of the service's
threads, and what is read from the index alone is answered meanwhile. Who waits for a turn holds no thread.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import Depends

THREADS: Final = 8
"""Requests worked on at once: more would wait for the interpreter's lock, each with memory of its own."""


async def _turn() -> AsyncIterator[None]:
    """Lasts as long as the route works, not as long as its answer is read."""
    yield


def _turns(most: int) -> Any:
    return Depends(_turn, scope="function", max_concurrency=most)


CHAIN: Final = _turns(3)
PLANS: Final = _turns(1)
"""A stranger's graph may take half a minute to read."""
QUESTIONS: Final = _turns(2)
"""A language model may take as long. All together leave two of THREADS."""
