"""What a provider submits for a program that failed, and what it lets pass as weights: by the real scorer (P10)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import JOB, PROVIDERS, TERMS
from score_graphs import node, onnx_file, tensors_file

from heldout.kernels.child import ScoreRequest, run
from heldout.market.artifacts import DiskStore
from heldout.market.calling import CallForBids
from heldout.market.errors import BadWeights
from heldout.market.journal import Journal
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.terms import BlockNumber, JobId, Timestamp
from heldout.provider.bidding import Rule, without_room
from heldout.provider.chores import Chores
from heldout.provider.graphs import Graphs
from heldout.provider.requesters import Requesters
from heldout.provider.trial import try_weights
from heldout.provider.untrained import ANY_SHAPE, constant_weights, write_untrained

LINEAR = onnx_file([node("Gemm", "x w b", "out")], [4], {"w": [4, 3], "b": [3]})
NORMALIZED = onnx_file(
    [node("BatchNormalization", "x scale bias mean variance", "n", epsilon=0.0), node("Gemm", "n w", "out")],
    [4],
    {"scale": [4], "bias": [4], "mean": [4], "variance": [4], "w": [4, 3]},
)
ROOM = 1 << 16
TASK = Manifest(
    files=(),
    image={"linux/amd64": "sha256:" + "0" * 64},
    command=("true",),
    resources=Resources(1, 1, 1, 0, 1),
    graph=TaskFile("model.onnx", "0" * 64, 0),
    metric="accuracy",
    scorer="score-v1",
)


class Bench:
    """A graph and a training shard as files."""

    def __init__(self, folder: Path, graph: bytes, largest: float = 1.0) -> None:
        self.folder, self.graph, self.shard = folder, folder / "model.onnx", folder / "000.safetensors"
        self.graph.write_bytes(graph)
        x = np.linspace(-largest, largest, 32, dtype=np.float32).reshape(8, 4)
        self.shard.write_bytes(tensors_file({"x": x, "y": np.arange(8, dtype=np.int64) % 3}))

    def untrained(self, room: int = ROOM) -> Path:
        target = self.folder / "weights.safetensors"
        write_untrained(target, self.graph, self.shard, "accuracy", room)
        return target

    def attempt(self, **weights: np.ndarray) -> None:
        path = self.folder / "left.safetensors"
        path.write_bytes(tensors_file(weights))
        try_weights(path, self.graph, self.shard, "accuracy", ROOM)


@pytest.mark.parametrize("graph", [LINEAR, NORMALIZED], ids=["linear", "normalized"])
def test_what_stands_in_is_a_valid_submission_that_scores_like_no_model(tmp_path: Path, graph: bytes) -> None:
    """P9.1: BAD would cost the whole collateral. A variance of zero is no number to divide by: another constant is."""
    bench = Bench(tmp_path, graph)
    weights = bench.untrained()
    request = ScoreRequest(str(bench.graph), str(weights), (str(bench.shard),), "accuracy", 10**6, ROOM)
    result = run(request, timeout_s=60)
    assert (result.code, result.score) == (None, 375_000)
    once = weights.read_bytes()
    assert bench.untrained().read_bytes() == once


def test_a_graph_that_nobody_can_read_gets_a_file_all_the_same(tmp_path: Path) -> None:
    """It cannot be scored, which is the requester's fault: the lane is paid as NO_DATA (P4.5)."""
    assert Bench(tmp_path, b"no graph").untrained().read_bytes() == constant_weights(ANY_SHAPE, 0.0)


def test_without_room_for_the_graphs_own_tensors_nothing_stands_in(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="the terms allow 64"):
        Bench(tmp_path, LINEAR).untrained(room=64)
    with pytest.raises(BadWeights, match="have 60 bytes, the terms allow 59"):
        Bench(tmp_path, LINEAR).untrained(room=59)


def test_a_job_without_room_for_its_graphs_tensors_gets_no_bid(tmp_path: Path) -> None:
    """Every submission would be BAD; a graph that cannot be read is its requester's own loss."""
    store, chores = DiskStore(tmp_path / "store"), Chores()
    graphs, open_job = Graphs(store, chores), CallForBids(JOB, TERMS, Timestamp(2_000_000_000)).as_job(BlockNumber(7))
    sizes = {}
    for name, data in (("linear", LINEAR), ("none", b"no graph")):
        task = replace(TASK, graph=TaskFile("model.onnx", store.put(data), len(data)))
        while graphs.bytes_needed(task) is None:
            time.sleep(0.02)
        sizes[name] = graphs.bytes_needed(task)
    chores.close()
    assert sizes["none"] == 0 and sizes["linear"] and sizes["linear"] > 60
    for room, rule in ((sizes["linear"], None), (sizes["linear"] - 1, Rule.BAD_TASK)):
        refusal = without_room(replace(open_job, terms=replace(TERMS, weightsBytes=room)), sizes["linear"])
        assert (refusal and refusal.rule) is rule


def test_weights_that_the_seats_would_refuse_are_refused_before_them(tmp_path: Path) -> None:
    """Else a program could end well and leave what costs its provider all: other tensors than the graph's."""
    bench = Bench(tmp_path, LINEAR)
    sound = {"w": np.ones((4, 3), np.float32), "b": np.ones(3, np.float32)}
    bench.attempt(**sound)
    with pytest.raises(BadWeights, match="'b' is missing"):
        bench.attempt(w=sound["w"])
    with pytest.raises(BadWeights, match="the seats would refuse"):
        bench.attempt(w=sound["w"] * np.float32(2.0**100), b=sound["b"])


def test_rows_that_cannot_be_read_hide_no_wrong_tensors(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LINEAR)
    bench.shard.write_bytes(b"no rows")
    bench.attempt(w=np.ones((4, 3), np.float32), b=np.ones(3, np.float32))
    with pytest.raises(BadWeights):
        bench.attempt(w=np.ones((4, 3), np.float32))


def test_a_node_remembers_whose_programs_failed_and_forgives_when_one_is_trained(tmp_path: Path) -> None:
    careless, other = PROVIDERS[:2]
    with Journal(tmp_path / "journal") as journal:
        requesters = Requesters(journal)
        for job in (JOB, JOB, JobId("0x" + "77" * 32)):
            requesters.failed(careless, job)
    with Journal(tmp_path / "journal") as journal:
        requesters = Requesters(journal)
        assert (requesters.failures(careless), requesters.failures(other)) == (2, 0)
        requesters.trained(careless)
        assert requesters.failures(careless) == 0
