"""P9: one lane from files to a vote, in the process that a validator and `verify` start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_graphs import node, onnx_file, tensors_file

from heldout.kernels import child, errors
from heldout.kernels.child import BAD, ScoreRequest, ScoreResult
from heldout.kernels.score import score

GRAPH = onnx_file(
    [
        node("Conv", "x k c", "h", pads=[1, 1, 1, 1]),
        node("Relu", "h", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        node("Gemm", "f w b", "y"),
    ],
    (3, 16, 16),
    {"k": (24, 3, 3, 3), "c": (24,), "w": (24 * 64, 10), "b": (10,)},
)
OPERATIONS = 24 * 27 * 256 + 24 * 256 + 24 * 64 * 4 + 24 * 64 * 10


def drawn_weights(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"k": (24, 3, 3, 3), "c": (24,), "w": (24 * 64, 10), "b": (10,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def request_(tmp_path: Path) -> ScoreRequest:
    """Three shards of 40 rows, whose labels are mostly what the weights answer."""
    random = np.random.default_rng(2)
    paths = []
    for place in range(3):
        x = random.standard_normal((40, 3, 16, 16)).astype(np.float32)
        path = tmp_path / f"shard-{place}"
        path.write_bytes(tensors_file({"x": x, "y": random.integers(0, 10, 40)}))
        paths.append(str(path))
    (tmp_path / "graph").write_bytes(GRAPH)
    (tmp_path / "weights").write_bytes(tensors_file(drawn_weights()))
    return ScoreRequest(
        str(tmp_path / "graph"), str(tmp_path / "weights"), tuple(paths), "accuracy", 10**9, 1 << 20,
        memory_bytes=1 << 30, cpu_seconds=60,
    )  # fmt: skip


def rewrite(path: str, change: Callable[[bytes], bytes]) -> None:
    Path(path).write_bytes(change(Path(path).read_bytes()))


def test_a_lane_is_scored_by_what_its_rows_are_answered(request_: ScoreRequest) -> None:
    """P9.5: the evidence is the hash of each row's answer, in the order of the shards."""
    from heldout.kernels.devices.numpy import NumpyDevice
    from heldout.kernels.engine.model import Model
    from heldout.kernels.loader import load
    from heldout.kernels.score import read_tensors

    result = child.run(request_, timeout_s=60)
    shards = [read_tensors(Path(path).read_bytes()) for path in request_.shards]
    model = Model(load(GRAPH), drawn_weights(), NumpyDevice())
    answers = np.concatenate([model(shard["x"]).argmax(axis=1) for shard in shards])
    right = int((answers == np.concatenate([shard["y"] for shard in shards])).sum())
    evidence = sha256(
        b"heldout/evidence/v1"
        + (1).to_bytes(2, "little")
        + (120).to_bytes(8, "little")
        + answers.astype("<i8").tobytes()
    )
    assert result == ScoreResult(right * 10**6 // 120, None, None, evidence.digest(), 120, 120 * OPERATIONS)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "perplexity"])
def test_threads_cannot_change_a_vote(request_: ScoreRequest, metric: str) -> None:
    """P9.2: one thread and two, each in its own process, and this process."""
    request = replace(request_, metric=metric)
    results = [child.run(replace(request, threads=threads), timeout_s=60) for threads in (1, 2)]
    assert results[0] == results[1] == score(request)


def test_the_order_of_shards_is_part_of_the_evidence_and_not_of_the_score(request_: ScoreRequest) -> None:
    """P9.5."""
    there, back = score(request_), score(replace(request_, shards=request_.shards[::-1]))
    assert there.score == back.score and there.evidence != back.evidence


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\x80\x04." + data,
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-4] + b"\0\0\x80\x7f",
        lambda data: data[:-4] + b"\xff\xff\x7f\x7f",
        lambda data: b"",
        lambda data: tensors_file({**drawn_weights(), "extra": np.zeros(1, np.float32)}),
        lambda data: tensors_file({**drawn_weights(), "b": np.zeros(11, np.float32)}),
        lambda data: tensors_file({**drawn_weights(), "b": np.zeros(10, np.int64)}),
    ],
    ids=["pickle", "cut", "longer", "infinite", "out of range", "empty", "a tensor more", "another shape", "integers"],
)
def test_a_bad_submission_is_an_answer_with_exit_code_0(request_: ScoreRequest, change: Any) -> None:
    """P3.1, P9.1, threats 63 to 65."""
    rewrite(request_.weights, change)
    result = child.run(request_, timeout_s=60)
    assert (result.score, result.code, result.evidence) == (None, BAD, bytes(32))
    assert result.reason


def test_weights_above_the_limit_are_bad(request_: ScoreRequest) -> None:
    """P1.5."""
    size = Path(request_.weights).stat().st_size
    assert score(replace(request_, weights_bytes=size)).code is None
    assert score(replace(request_, weights_bytes=size - 1)).code == BAD


def test_denormal_weights_are_scored_in_bounded_time(request_: ScoreRequest) -> None:
    """Threat 65: every value below 2**-126, where some processors take a hundred times as long."""
    started = time.process_time()
    score(request_)
    usual = time.process_time() - started
    tiny = {name: value * np.float32(1e-40) for name, value in drawn_weights().items()}
    Path(request_.weights).write_bytes(tensors_file(tiny))
    started = time.process_time()
    assert score(request_).code is None
    assert time.process_time() - started < 5 * usual + 0.5


def test_without_shards_only_the_weights_are_judged(request_: ScoreRequest) -> None:
    """P3.1: BAD goes before held-out rows that did not arrive."""
    request = replace(request_, shards=())
    assert child.run(request, timeout_s=60) == ScoreResult(None, None, None, bytes(32), 0, 0)
    rewrite(request.weights, lambda data: data[:-1])
    assert child.run(request, timeout_s=60).code == BAD


@pytest.mark.parametrize("width", [1, 1 << 16])
def test_a_graph_of_many_small_steps_costs_little_more_than_its_operations(width: int) -> None:
    """P1.5: they are all that a commit window has time for: no job is made to fine those who score it."""
    from heldout.kernels.graph import operations
    from heldout.kernels.loader import load
    from heldout.kernels.score import TURN, batch_bounds

    names = ["s", *(f"t{place}" for place in range(1000))]
    nodes = [node("Expand", "x e", "h"), node("Slice", "h begin end axis", "s")]
    nodes += [node("Tanh", before, after) for before, after in pairwise(names)]
    fixed = {"e": [1, width], "begin": [0], "end": [1], "axis": [1]}
    graph = load(onnx_file([*nodes, node("Gemm", f"{names[-1]} w", "y")], (1,), {"w": (1, 2)}, fixed=fixed))
    rows = 1 << 20
    spans = list(batch_bounds(graph, rows))
    assert len(spans) * graph.turns * TURN <= 2 * operations(graph, rows)
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])] and spans[-1][1] == rows


def _nothing(x: list[int], y: list[int]) -> bytes:
    """A file of no value at all, whose shapes are more than an array can have: its writer wants a scorer to fail."""
    entries = {"x": {"dtype": "F32", "shape": x}, "y": {"dtype": "I64", "shape": y}}
    header = json.dumps({name: entry | {"data_offsets": [0, 0]} for name, entry in entries.items()}).encode()
    return len(header).to_bytes(8, "little") + header


def _x(shape: tuple[int, ...], value: float = 0.5) -> np.ndarray:
    return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
    "shard",
    [
        b"",
        tensors_file({"x": _x((2, 3, 16, 16))}),
        tensors_file({"x": _x((2, 3, 16, 16)), "y": np.zeros(2, np.int64), "z": np.zeros(2, np.int64)}),
        tensors_file({"x": _x((2, 3, 16, 16)), "y": np.zeros(3, np.int64)}),
        tensors_file({"x": _x((2, 3, 16, 15)), "y": np.zeros(2, np.int64)}),
        tensors_file({"x": _x((2, 3, 16, 16), np.nan), "y": np.zeros(2, np.int64)}),
        tensors_file({"x": _x((2, 3, 16, 16), 3e38), "y": np.zeros(2, np.int64)}),
        tensors_file({"x": _x((2, 3, 16, 16)), "y": np.full(2, 10)}),
        tensors_file({"x": np.zeros((2, 3, 16, 16), np.int64), "y": np.zeros(2, np.int64)}),
        tensors_file({"x": _x((0, 3, 16, 16)), "y": np.zeros(0, np.int64)}),
        _nothing([0, 3, 16, 16], [0, 1 << 47, 1 << 47]),
        _nothing([0, 1 << 47, 1 << 47], [0]),
        _nothing([1 << 47, 1 << 47, 0], [1 << 47]),
    ],
    ids=[
        "empty",
        "no y",
        "z",
        "lengths",
        "shape",
        "NaN",
        "huge",
        "label",
        "integers",
        "no rows",
        "vast y",
        "vast x",
        "vast and empty",
    ],
)
def test_bad_rows_are_the_requesters_and_never_the_providers(request_: ScoreRequest, shard: bytes) -> None:
    """P9.1."""
    Path(request_.shards[0]).write_bytes(shard)
    with pytest.raises(errors.BadData):
        score(replace(request_, shards=request_.shards[:1]))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"operation_cap": 120 * OPERATIONS - 1}, errors.TooManyOperations),
        ({"metric": "rmse"}, errors.BadGraph),
        ({"metric": "beauty"}, errors.ChildFailed),
        ({"graph": "/nowhere/graph"}, errors.ChildFailed),
        ({"weights": "/nowhere/weights"}, errors.ChildFailed),
        ({"memory_bytes": 1 << 20}, errors.KernelError),
    ],
)
def test_what_is_nobodys_vote_comes_back_as_the_error_it_was(
    request_: ScoreRequest, change: dict[str, Any], kind: type[errors.KernelError]
) -> None:
    """Everything but a score or BAD is exit code 1 and one JSON object on standard error."""
    with pytest.raises(kind):
        child.run(replace(request_, **change), timeout_s=60)


def test_an_unsupported_operator_is_named_across_the_process(request_: ScoreRequest) -> None:
    Path(request_.graph).write_bytes(onnx_file([node("Einsum", "x", "y")], (4,), {}))
    with pytest.raises(errors.Unsupported, match="Einsum"):
        child.run(request_, timeout_s=60)


_GEMM = node("Gemm", "x w", "z")
ENDINGS = {
    "Sigmoid": ([_GEMM, node("Sigmoid", "z", "y")], 1, {"rmse", "mae", "auc"}),
    "Sigmoid, reshaped": ([_GEMM, node("Sigmoid", "z", "s"), node("Flatten", "s", "y")], 1, {"rmse", "mae", "auc"}),
    "Sigmoid of each class": ([_GEMM, node("Sigmoid", "z", "y")], 2, {"accuracy", "log_loss", "auc"}),
    "Softmax": ([_GEMM, node("Softmax", "z", "y")], 2, {"accuracy", "log_loss", "auc"}),
    "Softmax, reshaped": ([_GEMM, node("Softmax", "z", "s"), node("Flatten", "s", "y")], 2, set()),
    "Softmax of one output": ([_GEMM, node("Softmax", "z", "y")], 1, {"accuracy", "log_loss", "auc"}),
    "logits": ([_GEMM], 1, {"accuracy", "log_loss", "auc", "rmse", "mae"}),
}


@pytest.mark.parametrize(("nodes", "outputs", "allowed"), ENDINGS.values(), ids=ENDINGS.keys())
def test_probabilities_are_never_read_as_logits(
    tmp_path: Path, nodes: list[Any], outputs: int, allowed: set[str]
) -> None:
    """A probability is above 0: read as a logit it would make every row class 1, and every loss small."""
    rows = {"x": np.ones((2, 3), np.float32), "y": np.array([0, 1])}
    files = {"graph": onnx_file(nodes, (3,), {"w": (3, outputs)}), "rows": tensors_file(rows)}
    files["weights"] = tensors_file({"w": np.full((3, outputs), -1, np.float32)})
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = str(tmp_path / "graph"), str(tmp_path / "weights"), (str(tmp_path / "rows"),)
    for metric in ("accuracy", "log_loss", "auc", *(("rmse", "mae") if outputs == 1 else ())):
        request = ScoreRequest(*paths, metric, 10**6, 1 << 20)
        if metric in allowed:
            assert score(request).code is None
        else:
            with pytest.raises(errors.BadGraph, match=metric):
                score(request)


def test_memory_is_bounded(request_: ScoreRequest) -> None:
    """P9.1: a graph whose buffers do not fit ends the child, not the node."""
    nodes = [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")]
    Path(request_.graph).write_bytes(onnx_file(nodes, (3, 16, 16), {"w": (1 << 16, 3, 1, 1)}))
    Path(request_.weights).write_bytes(tensors_file({"w": np.ones((1 << 16, 3, 1, 1), np.float32)}))
    request = replace(request_, operation_cap=10**12, weights_bytes=1 << 24, memory_bytes=1 << 28)
    with pytest.raises(errors.OutOfMemory):
        child.run(request, timeout_s=60)


def test_a_process_that_takes_too_long_is_ended(request_: ScoreRequest) -> None:
    with pytest.raises(errors.TimedOut):
        child.run(request_, timeout_s=0.01)


def test_the_command_reads_a_request_from_a_file(request_: ScoreRequest, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(request_.to_json())
    done = subprocess.run(
        child.command(str(tmp_path / "request.json")), capture_output=True, env={}, check=True, timeout=60
    )
    answer = json.loads(done.stdout)
    assert answer["scorer"] == "score-v1" and answer["evidence"] == score(request_).evidence.hex()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"graph": 1}', '{"shards": 3}'])
def test_a_request_that_cannot_be_read_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(text)
    done = subprocess.run(child.command(str(tmp_path / "request.json")), capture_output=True, env={}, timeout=60)
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "scoring_failed"


def test_the_child_dies_with_its_parent(request_: ScoreRequest, tmp_path: Path) -> None:
    """P11d: a node that is killed leaves no scoring behind. Here the child is busy reading a graph that never ends."""
    os.mkfifo(tmp_path / "endless")
    (tmp_path / "request.json").write_text(replace(request_, graph=str(tmp_path / "endless")).to_json())
    program = (
        "import subprocess, sys, time\n"
        "from heldout.kernels import child\n"
        "print(subprocess.Popen(child.command(sys.argv[1]), stderr=subprocess.DEVNULL).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "request.json")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    with (tmp_path / "endless").open("wb"):  # opens once the child reads
        assert _runs(pid)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 10
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_importing_the_package_and_its_child_module_imports_neither_numpy_nor_onnx() -> None:
    """Daemons import neither: they start the process and read its answer."""
    program = "import sys, heldout.validator.scoring; sys.exit(bool({'numpy', 'onnx'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ, timeout=60).returncode == 0


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        ScoreResult,
        score=st.none() | st.integers(0, 0xFFFFFF00),
        code=st.none() | st.just(BAD),
        reason=st.none() | st.text(),
        evidence=st.binary(min_size=32, max_size=32),
        rows=st.integers(0, 2**40),
        operations=st.integers(0, 2**60),
    )
)
def test_answers_survive_the_way_back(result: ScoreResult) -> None:
    assert ScoreResult.from_json(result.to_json()) == result
