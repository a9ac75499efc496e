"""Judging forged files in great number: in processes that a crash would end, and each file's time taken."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise
from multiprocessing import get_context
from typing import NamedTuple, Protocol

MEMORY = 2 << 30
PATIENCE_S = 120.0


class Kind(Protocol):
    """A module of files to be judged: `hostile_weights`, `hostile_graphs`."""

    def forge(self, number: int) -> bytes:
        """The same file for the same number, on every machine."""
        ...

    def judge(self, data: bytes) -> bytes:
        """The verdict, empty for a file that is refused. Any error it raises is a failure."""
        ...


class Verdicts(NamedTuple):
    """About the files of a range of numbers."""

    digest: str
    """SHA-256 over all verdicts in order."""
    good: int
    slowest_s: float
    """Processor time."""


def verdicts(kind: str, begin: int, end: int) -> Verdicts:
    """Of a module, by its name, so that another process can be asked for them."""
    module: Kind = __import__(kind)
    digest, good, slowest = sha256(), 0, 0.0
    for number in range(begin, end):
        data = module.forge(number)
        started = time.process_time()
        verdict = module.judge(data)
        slowest = max(slowest, time.process_time() - started)
        digest.update(len(verdict).to_bytes(4, "big") + verdict)
        good += bool(verdict)
    return Verdicts(digest.hexdigest(), good, slowest)


def all_verdicts(kind: str, count: int, chunk: int) -> Verdicts:
    """Of the first `count` files. Raises TimeoutError for one that hangs, BrokenProcessPool for one that crashes."""
    bounds = [*range(0, count, chunk), count]
    with _pool() as pool:
        jobs = [pool.submit(verdicts, kind, begin, end) for begin, end in pairwise(bounds)]
        found = [job.result(PATIENCE_S * len(jobs)) for job in jobs]
    digest = sha256("".join(each.digest for each in found).encode()).hexdigest()
    return Verdicts(digest, sum(each.good for each in found), max(each.slowest_s for each in found))


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """New processes, so that each time strings hash otherwise."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=_limit) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
