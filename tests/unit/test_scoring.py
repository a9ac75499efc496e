"""P9.1: a node scores in a process of its own, within limits, and can let go of it."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
from score_graphs import node, onnx_file, tensors_file

from heldout.kernels.child import ScoreRequest
from heldout.kernels.errors import TimedOut
from heldout.validator.scoring import score, score_async

LIMITS = {"timeout_s": 60.0, "memory_bytes": 1 << 30}


def request(folder: Path, channels: int, rows: int) -> ScoreRequest:
    """A wide convolution over 32 by 32 pixels: its cost and memory grow with its channels."""
    nodes = [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")]
    shape = (channels, 8, 3, 3)
    random = np.random.default_rng(1)
    files = {
        "graph": onnx_file(nodes, (8, 32, 32), {"w": shape}),
        "weights": tensors_file({"w": random.standard_normal(shape).astype(np.float32)}),
        "shard": tensors_file(
            {
                "x": random.standard_normal((rows, 8, 32, 32)).astype(np.float32),
                "y": random.integers(0, channels, rows),
            }
        ),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    paths = (str(folder / "graph"), str(folder / "weights"), (str(folder / "shard"),))
    return ScoreRequest(*paths, "accuracy", 10**15, 1 << 30)


def test_waiting_and_not_waiting_give_the_same_vote(tmp_path: Path) -> None:
    asked = request(tmp_path, 10, 20)
    assert asyncio.run(score_async(asked, **LIMITS)) == score(asked, **LIMITS)


def test_other_work_goes_on_while_a_lane_is_scored(tmp_path: Path) -> None:
    async def main() -> int:
        scoring = asyncio.create_task(score_async(request(tmp_path, 10, 20), **LIMITS))
        turns = 0
        while not scoring.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert (await scoring).score is not None
        return turns

    assert asyncio.run(main()) > 3


def test_a_lane_that_takes_too_long_is_this_machines_failure(tmp_path: Path) -> None:
    asked = request(tmp_path, 2000, 400)
    started = time.monotonic()
    with pytest.raises(TimedOut):
        asyncio.run(score_async(asked, timeout_s=0.5, memory_bytes=1 << 30))
    with pytest.raises(TimedOut):
        score(asked, timeout_s=0.5, memory_bytes=1 << 30)
    assert time.monotonic() - started < 10


def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    """P11d: nothing goes on computing for a node that has stopped waiting."""

    async def main() -> float:
        scoring = asyncio.create_task(score_async(request(tmp_path, 2000, 400), **LIMITS))
        await asyncio.sleep(0.5)
        started = time.monotonic()
        scoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scoring
        return time.monotonic() - started

    assert asyncio.run(main()) < 5
    assert not _children()


def _children() -> list[str]:
    """Command lines of scoring processes that this process has started and that still run."""
    lines = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode())
    return [line for line in lines if "heldout.kernels" in line]
