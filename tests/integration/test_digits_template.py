"""The digits template from its scripts to an exact score, without a market in between (P9)."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import heldout.requester_cli
from heldout.kernels import child
from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.loader import load
from heldout.kernels.score import read_tensors
from heldout.market.weights import read_rows, split_rows

pytestmark = pytest.mark.integration

TEMPLATE = Path(next(iter(heldout.requester_cli.__path__))) / "templates" / "digits"
SHARDS, HELD_OUT = 20, 6


@dataclass(frozen=True)
class Task:
    """What `heldout init` and the sandbox lay out, in one folder."""

    folder: Path
    graph: Path
    held_out: tuple[str, ...]

    def start(self, script: str, out: str, *arguments: str) -> subprocess.Popen[str]:
        """A script of the template with the sandbox's folders and variables."""
        (self.folder / out).mkdir(exist_ok=True)
        folders = {"HELDOUT_IN": str(self.folder / "in"), "HELDOUT_OUT": str(self.folder / out)}
        settings = {"HELDOUT_SEED": "7", "HELDOUT_THREADS": "1", "PATH": os.environ["PATH"]}
        command = [sys.executable, str(TEMPLATE / "task" / script), *arguments]
        return subprocess.Popen(command, env={**settings, **folders}, stdout=subprocess.PIPE, text=True)

    def run(self, script: str, out: str, *arguments: str) -> list[dict[str, float]]:
        """The metrics it wrote."""
        process = self.start(script, out, *arguments)
        lines, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return [json.loads(line) for line in lines.splitlines()]

    def weights(self, out: str) -> Path:
        return self.folder / out / "weights.safetensors"

    def score(self, out: str, threads: int = 1) -> ScoreResult:
        request = ScoreRequest(
            str(self.graph), str(self.weights(out)), self.held_out, "accuracy", 10**9, 1 << 20, threads=threads
        )
        return child.run(request, timeout_s=60)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Graph and data by the template's own scripts, rows split into shards as `data seal` does."""
    folder = tmp_path_factory.mktemp("digits")
    for script, target in (("make_data.py", folder / "all"), ("make_graph.py", folder / "graph.onnx")):
        subprocess.run([sys.executable, str(TEMPLATE / script), str(target)], check=True, timeout=60)
    table = read_rows([path.read_bytes() for path in (folder / "all").iterdir()])
    order = list(range(table["x"].shape[0]))
    random.Random(1).shuffle(order)
    paths = [folder / ("held_out" if i < HELD_OUT else "in/data") / f"{i:02}.safetensors" for i in range(SHARDS)]
    for path, shard in zip(paths, split_rows(table, SHARDS, order), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shard)
    return Task(folder, folder / "graph.onnx", tuple(map(str, paths[:HELD_OUT])))


@pytest.fixture(scope="module")
def trained(task: Task) -> ScoreResult:
    metrics = task.run("train.py", "trained")
    assert [line["step"] for line in metrics] == list(range(1, len(metrics) + 1))
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    return task.score("trained")


def test_training_earns_what_the_baseline_does_not(task: Task, trained: ScoreResult) -> None:
    """A floor of 95 % means something: `job check` refuses one that the baseline passes."""
    task.run("baseline.py", "baseline")
    baseline = task.score("baseline")
    assert trained.score is not None and baseline.score is not None
    assert baseline.score < 850_000 < 950_000 < trained.score


def test_two_validators_with_other_threads_and_batches_vote_the_same(task: Task, trained: ScoreResult) -> None:
    """P9.2, on weights that were trained."""
    assert task.score("trained", threads=2) == trained
    model = Model(load(task.graph.read_bytes()), read_tensors(task.weights("trained").read_bytes()), NumpyDevice())
    rows = np.concatenate([read_tensors(Path(path).read_bytes())["x"] for path in task.held_out])
    whole = model(rows)
    for size in (1, 7, 100):
        parts = [model(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_run_that_was_killed_goes_on_from_its_checkpoint_and_ends_the_same(task: Task) -> None:
    """Threat 40: the same weights, to the bit, and no epoch is run twice but those since the checkpoint."""
    task.run("train.py", "whole", "--epochs", "12")
    process = task.start("train.py", "killed", "--epochs", "12", "--pause", "0.2")
    assert process.stdout is not None
    first = _steps(_until(process, 7))
    process.kill()
    process.wait()
    process.stdout.close()
    assert not task.weights("killed").exists()
    second = [int(line["step"]) for line in task.run("train.py", "killed", "--epochs", "12")]
    assert first == list(range(1, 8)) and second == list(range(6, 13))
    assert task.weights("killed").read_bytes() == task.weights("whole").read_bytes()


def _until(process: subprocess.Popen[str], step: int) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if json.loads(line)["step"] == step:
            break
    return lines


def _steps(lines: Sequence[str]) -> list[int]:
    return [json.loads(line)["step"] for line in lines]
