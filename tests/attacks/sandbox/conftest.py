"""A runner with the full profile, for attacks that need more than a program of the packaged suite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.market.sandbox import open_runner
from tests.sandbox_jobs import Bench


@pytest.fixture
def bench(job_image: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(open_runner("docker", tmp_path / "state", chain_id=1), job_image, tmp_path / "work")
    yield bench
    asyncio.run(bench.clear())
