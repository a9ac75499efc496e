"""Hostile programs, each run as a job of its own under the full profile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heldout.market.sandbox import Limits, RunReport, open_runner
from tests.sandbox_jobs import SMALL, Bench

# What every hostile program may use: `tried(action)` tells how the kernel answered.
PRELUDE = """
import ctypes, errno, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def tried(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "allowed"

def syscall(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
"""


@pytest.fixture
def bench(job_image: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(open_runner("docker", tmp_path / "state", chain_id=1), job_image, tmp_path / "work")
    yield bench
    asyncio.run(bench.clear())


@pytest.fixture
def attack(bench: Bench) -> Callable[..., tuple[RunReport, list[str]]]:
    """Runs a program; gives its report and what it printed."""

    def run(program: str, limits: Limits = SMALL) -> tuple[RunReport, list[str]]:
        return asyncio.run(bench.run(bench.spec(PRELUDE + program, limits=limits)))

    return run
