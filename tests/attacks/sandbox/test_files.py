"""What a job leaves behind that would outlive it. Threat row 66."""

from __future__ import annotations

import asyncio

import pytest

from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.attack, pytest.mark.docker]


def test_a_labyrinth_in_out_is_cleared_away(bench: Bench) -> None:
    """Case 40: names with newlines and escapes, a tree 300 deep, folders that are shut."""
    program = """
import os
open("/out/\\n\\x1b[2J", "w").close()
open("/out/" + "x" * 255, "w").close()
os.chdir("/out")
for _ in range(300):
    os.mkdir("d"); os.chdir("d")
os.chmod(".", 0)
"""

    async def life() -> None:
        handle = await bench.runner.start(bench.spec(program))
        assert (await bench.runner.wait(handle)).ok
        await bench.runner.discard("job-1")

    asyncio.run(life())
    assert list((bench.folder.parent / "state" / "out").iterdir()) == []
