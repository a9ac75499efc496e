"""Measurements under way: one thread for each job at most, a few jobs at a time, and what each has found so far.

A measurement that found something lacking is taken up again when there is more to look at, or after a while, since a
store may have been down. Findings are kept in memory only: nobody who steals the disk learns a score from it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heldout.kernels.errors import KernelError
from heldout.market.alarm import Alarm
from heldout.market.messages import Letter
from heldout.market.terms import JobId, Timestamp
from heldout.validator.duties import Findings
from heldout.validator.measuring import Case
from heldout.validator.voting import Finding

log = logging.getLogger(__name__)

RETRY_S = 10.0
AT_ONCE = 2

Measure = Callable[[Case, Sequence[Letter], Sequence[Finding]], tuple[Finding, ...]]


@dataclass(frozen=True)
class Sample:
    """What a measurement looks at: it is pointless to look twice at the same."""

    case: Case
    letters: tuple[Letter, ...]
    as_of: Timestamp


@dataclass
class _Attempt:
    sample: Sample
    began: float
    running: bool = True


class Bench:
    """`measure` runs in daemon threads: a node that is stopped does not wait for a score."""

    def __init__(self, measure: Measure, alarm: Alarm, clock: Callable[[], float] = time.monotonic) -> None:
        self._measure = measure
        self._alarm = alarm
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(AT_ONCE)
        self._attempts: dict[JobId, _Attempt] = {}
        self._findings: dict[JobId, Findings] = {}

    def findings(self, job: JobId) -> Findings | None:
        with self._lock:
            return self._findings.get(job)

    def is_measuring(self, job: JobId) -> bool:
        with self._lock:
            return job in self._attempts and self._attempts[job].running

    def put(self, sample: Sample) -> bool:
        """Start measuring, if that can bring anything new. Whether it was started."""
        job = sample.case.job
        with self._lock:
            last = self._attempts.get(job)
            if last is not None and (last.running or not self._is_news(last, sample)):
                return False
            attempt = self._attempts[job] = _Attempt(sample, self._clock())
            known = self._findings[job].lanes if job in self._findings else ()
        threading.Thread(target=self._work, args=(attempt, known), name=f"measure {job}", daemon=True).start()
        return True

    def forget(self, job: JobId) -> None:
        with self._lock:
            self._attempts.pop(job, None)
            self._findings.pop(job, None)

    def _is_news(self, last: _Attempt, sample: Sample) -> bool:
        same = (last.sample.case, last.sample.letters) == (sample.case, sample.letters)
        return not same or self._clock() - last.began >= RETRY_S

    def _work(self, attempt: _Attempt, known: Sequence[Finding]) -> None:
        sample = attempt.sample
        job = sample.case.job
        try:
            with self._slots:
                lanes = self._measure(sample.case, sample.letters, known)
        except KernelError as problem:
            self._alarm.ring("measuring_failed", f"this machine could not score: {problem.message}", job=job)
        except Exception as problem:  # whatever goes wrong here must not take the reveals of other jobs with it
            log.exception("measuring %s failed", job)
            self._alarm.ring("measuring_failed", f"unexpected {type(problem).__name__}: see the log", job=job)
        else:
            self._alarm.clear("measuring_failed", job=job)
            with self._lock:
                if self._attempts.get(job) is attempt:
                    self._findings[job] = Findings(lanes, sample.as_of)
        finally:
            attempt.running = False
