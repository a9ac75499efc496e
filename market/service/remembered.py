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
        known = self._known
        if known is None or (age := self._ticks() - known[0]) > self._most:
            return self._renewed(known)
        if age > self._seconds and not self._working.locked():
            Thread(target=self._renew, args=(known,), daemon=True).start()
        return known[1]

    def _renewed(self, known: tuple[float, T] | None) -> T:
        """Worked out anew, unless somebody else has replaced what was `known` meanwhile."""
        with self._working:
            fresh = self._known
            if fresh is None or fresh is known:
                fresh = self._known = (self._ticks(), self._work_out())
            return fresh[1]

    def _renew(self, known: tuple[float, T] | None) -> None:
        try:
            self._renewed(known)
        except Exception:  # nobody waits here; whoever does, once the figure is too old, is told
            log.exception("a figure could not be renewed")
