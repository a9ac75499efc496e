"""P9.1, threat 64: whatever stands in a weights file, there is one verdict, soon, and it is the same each time.

The digests were written down once, so each run compares its verdicts with those of other processes, machines and
versions of Python. They change only with the rule
or with the forger.
"""

import math
import os
import resource
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from hashlib import sha256
from itertools import pairwise
from multiprocessing import get_context

import pytest
from hostile_weights import DIGESTS, SPEC, Forger, Verdicts, judge, verdicts

from heldout.market.weights import Tensor, encode

CHUNK = 10_000
SLOWEST_S = 1.0
PATIENCE_S = 120.0
MEMORY = 2 << 30


@pytest.fixture
def workers() -> Iterator[Executor]:
    """Processes that a crash would end and a leak would exhaust, which the pool then reports."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=_limit) as pool:
        yield pool


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _all(pool: Executor, count: int) -> list[Verdicts]:
    """The chunks' verdicts in order. Raises TimeoutError for one that hangs, BrokenProcessPool for one that crashes."""
    bounds = [*range(0, count, CHUNK), count]
    jobs = [pool.submit(verdicts, begin, end) for begin, end in pairwise(bounds)]
    return [job.result(PATIENCE_S * len(jobs)) for job in jobs]


def _check(found: list[Verdicts], count: int) -> None:
    assert sha256("".join(chunk.digest for chunk in found).encode()).hexdigest() == DIGESTS[count]
    assert count / 10 < sum(chunk.good for chunk in found) < count / 2, "forgeries are all too easy, or all too wrong"
    assert max(chunk.slowest_s for chunk in found) < SLOWEST_S


def test_twenty_thousand_forged_files_have_their_verdicts(workers: Executor) -> None:
    """P9.1: the first of the million below."""
    _check(_all(workers, 20_000), 20_000)


@pytest.mark.deep
def test_a_million_forged_files_have_their_verdicts(workers: Executor) -> None:
    """P9.1: no crash, no hang, the same verdict each time."""
    _check(_all(workers, 1_000_000), 1_000_000)


def test_the_judge_would_see_a_reader_that_reads_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that cannot fail proves nothing: here the reader is off by one tensor."""
    good = encode({name: Tensor("F32", spec.shape, bytes(4 * math.prod(spec.shape))) for name, spec in SPEC.items()})
    assert judge(good)
    real = judge.__globals__["check"]

    def wrong(data: bytes, *rest: object) -> object:
        entries = real(data, *rest)
        return {**entries, "w": entries["w"]._replace(start=entries["w"].start + 4)}

    monkeypatch.setitem(judge.__globals__, "check", wrong)
    with pytest.raises(AssertionError, match="otherwise"):
        judge(good)


def test_a_number_makes_one_file() -> None:
    assert [Forger(number).file() for number in range(50)] == [Forger(number).file() for number in range(50)]
