"""Measuring a scored job again before its challenge is signed away: in a thread, once a round (P4.6, P6.1)."""

import logging
import threading
from collections.abc import Callable, Mapping

from heldout.market.errors import HeldoutError
from heldout.market.lifecycle import JobState
from heldout.market.terms import JobId
from heldout.requester_cli.verifying import Check

log = logging.getLogger(__name__)

Measure = Callable[[JobState, dict[int, bytes]], list[Check]]
"""The checks of the given lanes' weights. Runs in a thread of its own."""


class Rechecker:
    """What was found stays in memory: a restarted keeper measures again."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._lock = threading.Lock()
        self._begun: set[tuple[JobId, int]] = set()
        self._found: dict[tuple[JobId, int], str] = {}

    def begin(self, job: JobState, weights: Mapping[int, bytes]) -> None:
        """Start measuring, once for each round. What failed is not tried again: then the challenge runs its time."""
        key = (job.id, job.round)
        if key not in self._begun:
            self._begun.add(key)
            threading.Thread(target=self._work, args=(key, job, dict(weights)), daemon=True).start()

    def agrees(self, job: JobState) -> bool:
        """Whether everything was recomputed, and is as the chain says."""
        return self._of(job) == ""

    def difference(self, job: JobState) -> str:
        """What differs from the chain; empty if nothing does, or nothing is known yet."""
        return self._of(job) or ""

    def _of(self, job: JobState) -> str | None:
        with self._lock:
            return self._found.get((job.id, job.round))

    def _work(self, key: tuple[JobId, int], job: JobState, weights: dict[int, bytes]) -> None:
        try:
            wrong = [check for check in self._measure(job, weights) if not check.ok]
        except HeldoutError as problem:
            log.warning("job %s could not be measured again: %s (%s)", job.id, problem.message, problem.code)
            return
        told = "; ".join(f"{check.what} is {check.here} here and {check.chain} on chain" for check in wrong)
        with self._lock:
            self._found[key] = told
