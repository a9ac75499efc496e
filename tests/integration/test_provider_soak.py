"""A node stays level: descriptors, threads and memory after each of a row of whole jobs (threat 62)."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import linear_regression

import psutil
import pytest
from provider_process import leftovers, provider, set_up
from scripted_job import ScriptedJob

from heldout.devnet.devnet import Devnet
from heldout.market.lifecycle import State
from heldout.market.messages import Kind

pytestmark = [pytest.mark.integration, pytest.mark.deep]

JOBS = 12
WARM = 3
"""Jobs after which everything is imported and every pool is filled."""
MOST_BYTES_A_JOB = 256 << 10
"""Slope of the resident memory. What a job leaves in the journal's cache and the book is a few kilobytes."""


@pytest.fixture
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.up(tmp_path_factory.mktemp("devnet"), block_time=1, validators=8) as devnet:
        set_up(devnet, runner="process", checkpoint_s="1")
        yield devnet


def whole_job(net: Devnet) -> None:
    with ScriptedJob(net, epochs=3) as job:
        job.post()
        job.accept()
        job.requester.mail.send(job.training_keys())
        job.await_state(State.COMMITTING)
        job.vote(900_000)
        job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")
        net.warp(61)
        job.await_state(State.SETTLED)
        job.until(lambda: not leftovers(net, job), 20, "a clean house")


def test_a_node_stays_level_from_job_to_job(net: Devnet) -> None:
    seen: list[tuple[int, int, int]] = []
    with provider(net) as node:
        process = psutil.Process(node.pid)
        for _ in range(JOBS):
            whole_job(net)
            seen.append((process.num_fds(), process.num_threads(), process.memory_info().rss))
    jobs = range(JOBS - WARM)
    fds, threads, memory = ([each[column] for each in seen[WARM:]] for column in range(3))
    assert max(fds) - min(fds) <= 3 and linear_regression(jobs, fds).slope < 0.5, fds
    assert max(threads) - min(threads) <= 2 and linear_regression(jobs, threads).slope < 0.2, threads
    assert linear_regression(jobs, memory).slope < MOST_BYTES_A_JOB, memory
    print(f"fds {fds} threads {threads} rss {[round(each / 1e6, 1) for each in memory]} MB")
