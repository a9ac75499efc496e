"""Long errands of a synchronous node (downloads, uploads), done in threads and asked about once a cycle."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

MOST_AT_ONCE = 2


class Chores:
    """What an errand does must be safe to do again: after a restart nobody remembers that it had begun."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="chore")
        self._running: dict[str, Future[None]] = {}

    def done(self, name: str, errand: Callable[[], None]) -> bool:
        """Whether the errand called `name` has been done; begins it when it is first asked about.

        Raises, once, what the errand raised; the next call begins it again.
        """
        future = self._running.get(name)
        if future is None:
            self._running[name] = self._pool.submit(errand)
            return False
        if not future.done():
            return False
        del self._running[name]
        future.result()
        return True

    @property
    def busy(self) -> bool:
        """Whether some errand was begun and not asked about since it was done."""
        return bool(self._running)

    def close(self) -> None:
        """Waits for what runs; starts nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
