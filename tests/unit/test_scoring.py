"""P9.1: a node scores in a process of its own, within limits, and leaves none behind."""

import time
from pathlib import Path

import numpy as np
import pytest
from score_graphs import node, onnx_file, tensors_file

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest
from heldout.kernels.devices import NAMES
from heldout.kernels.errors import KernelError, SelfTestFailed, TimedOut
from heldout.validator.scoring import proven_device, score

MEMORY = 1 << 30


def request(folder: Path, channels: int, rows: int) -> ScoreRequest:
    """A convolution over 32 by 32 pixels: its cost grows with its channels."""
    nodes = [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")]
    shape = (channels, 8, 3, 3)
    random = np.random.default_rng(1)
    x = random.standard_normal((rows, 8, 32, 32)).astype(np.float32)
    files = {
        "graph": onnx_file(nodes, (8, 32, 32), {"w": shape}),
        "weights": tensors_file({"w": random.standard_normal(shape).astype(np.float32)}),
        "shard": tensors_file({"x": x, "y": random.integers(0, channels, rows)}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    paths = (str(folder / "graph"), str(folder / "weights"), (str(folder / "shard"),))
    return ScoreRequest(*paths, "accuracy", 10**15, 1 << 30)


def test_limits_do_not_change_a_vote(tmp_path: Path) -> None:
    asked = request(tmp_path, 10, 20)
    assert score(asked, timeout_s=60, memory_bytes=MEMORY) == child.run(asked, timeout_s=60)


def test_a_lane_that_takes_too_long_is_this_machines_failure(tmp_path: Path) -> None:
    """P11d: and its process is gone."""
    started = time.monotonic()
    with pytest.raises(TimedOut):
        score(request(tmp_path, 2000, 400), timeout_s=0.5, memory_bytes=MEMORY)
    assert time.monotonic() - started < 20
    assert not _children()


def test_processor_time_is_bounded_even_if_nobody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P11d: the limit is the process's own. Here the watch is set to an hour, the limit stays at a second."""
    patient = child.run
    monkeypatch.setattr(child, "run", lambda asked, timeout_s: patient(asked, timeout_s=3600))
    with pytest.raises(KernelError) as failed:
        score(request(tmp_path, 2000, 2000), timeout_s=1, memory_bytes=MEMORY)
    assert not isinstance(failed.value, TimedOut)


@pytest.mark.parametrize("device", NAMES)
def test_a_device_does_not_change_a_vote_and_the_cpu_stands_in_for_one_that_is_not_there(
    tmp_path: Path, device: str
) -> None:
    """P9.3: evidence and score are the CPU's."""
    asked = request(tmp_path, 10, 20)
    assert score(asked, timeout_s=120, memory_bytes=4 * MEMORY, device=device) == child.run(asked, timeout_s=60)


def test_what_is_wanted_is_used_only_if_it_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """P9.4."""
    sound = {"cuda", "numpy"}

    def self_test(device: str) -> int:
        if device not in sound:
            raise SelfTestFailed(f"{device} is wrong")
        return 1

    told: list[str] = []
    monkeypatch.setattr(child, "self_test", self_test)
    assert [proven_device(name, told.append) for name in ("numpy", "cuda", "vulkan")] == ["numpy", "cuda", "numpy"]
    assert told == ["vulkan is not used, the CPU scores: vulkan is wrong"]
    sound.clear()
    with pytest.raises(SelfTestFailed, match="numpy"):
        proven_device("vulkan", told.append)


def test_devices_are_surveyed_in_a_process_of_their_own() -> None:
    """What `validator doctor` shows."""
    seen = {each["device"]: each for each in child.survey()}
    assert tuple(seen) == NAMES
    assert seen["numpy"]["proven"] and "known answers" in seen["numpy"]["told"]
    assert all(each["told"] and each["present"] >= each["proven"] for each in seen.values())


def _children() -> list[str]:
    """Command lines of scoring processes that this process has started and that still run."""
    pids = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in pids]
    return [line for line in lines if "heldout.kernels" in line]
