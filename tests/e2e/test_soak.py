"""Everybody stays level: descriptors, threads and memory of every process, after each of a row of whole jobs."""

from itertools import pairwise
from statistics import median

import psutil
import pytest

from heldout.market.lifecycle import Outcome
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.deep]

JOBS = 9
WARM = 3
"""Jobs after which everything is imported and every pool is filled."""
MOST_BYTES_A_JOB = 384 << 10
"""What a job leaves in journals, books and indices is a few kilobytes; an allocator's steps are larger."""


def look(town: Town) -> dict[str, tuple[int, int, int]]:
    """Descriptors, threads and resident bytes of each process that is no chain."""
    seen = {}
    for name, pid in town.devnet.processes.running().items():
        process = psutil.Process(pid)
        if name != "anvil":
            seen[name] = (process.num_fds(), process.num_threads(), process.memory_info().rss)
    return seen


def test_every_process_stays_level_from_job_to_job(town: Town) -> None:
    """Threat 62: requester, service, store, providers and validators, jobs settled one after another."""
    rows = []
    with Kept(town):
        for number in range(JOBS):
            _, job = town.post(f"soak-{number}", **GOOD_ENOUGH)
            check_ended(town, town.settle(job), Outcome.MEASURED)
            rows.append(look(town))
    for name in rows[0]:
        fds, threads, memory = ([row[name][column] for row in rows[WARM:]] for column in range(3))
        print(f"{name:12} fds {fds} threads {threads} rss {[round(each / 1e6, 1) for each in memory]} MB")
        assert max(fds) - min(fds) <= 6, (name, fds)
        assert max(threads) - min(threads) <= 3, (name, threads)
        assert median(after - before for before, after in pairwise(memory)) < MOST_BYTES_A_JOB, (name, memory)
