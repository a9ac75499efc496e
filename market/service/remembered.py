"""Figures that cost more than a page should: most who ask get one that is ready."""

import logging
from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Remembered(Generic[T]):
    """A figure that costs more than a page should, worked out again at most every so many seconds.

    Whoever asks after that gets the old figure, and a thread works out the next one; only what is older than `most`
    seconds is waited for.
    """

    def __init__(self, work_out: Callable[[], T], ticks: Callable[[], float], seconds: float, most: float) -> None:
        self._work_out, self._ticks, self._seconds, self._most = work_out, ticks, seconds, most
        self._known: tuple[float, T] | None = None
        self._working = Lock()

    def __call__(self) -> T:
        known, now = self._known, self._ticks()
        if known is not None and now - known[0] <= self._seconds:
            return known[1]
        if known is not None and now - known[0] <= self._most:
            if self._working.acquire(blocking=False):
                Thread(target=self._renew, daemon=True).start()
            return known[1]
        with self._working:
            fresh = self._known
            if fresh is None or fresh is known:  # nobody else worked it out meanwhile
                fresh = self._known = (now, self._work_out())
            return fresh[1]

    def _renew(self) -> None:
        """Works it out for those who ask next; a failure is told to whoever waits for it, once this is too old."""
        try:
            now = self._ticks()
            self._known = (now, self._work_out())
        except Exception:
            log.exception("a figure could not be renewed")
        finally:
            self._working.release()
