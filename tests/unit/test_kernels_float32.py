"""What `job check` compares a score with: the same graph in float32, rounded to no grid. Never a vote."""

from pathlib import Path

import numpy as np
import pytest
from score_graphs import EXAMPLES, Example, node, onnx_file, tensors_file

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest
from heldout.kernels.devices.choice import NAMES
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.devices.plain import PlainDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.loader import load
from heldout.requester_cli.checking import Comparison, compare
from heldout.requester_cli.scoring import FLOAT32

GRAPH = onnx_file([node("Gemm", "x w b", "y")], (20,), {"w": (20, 4), "b": (4,)}, widths={"*": (4, 24)})


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_every_operator_is_close_to_float32(example: Example) -> None:
    """P9.2: what exactness moves is rounding, and not another function. Rows of ordinary size, weights too."""
    random = np.random.default_rng(8)
    graph = load(example.graph())
    weights = {name: np.abs(value) + 0.5 if name == "variance" else np.sign(value) * (np.abs(value) % 1)
               for name, value in example.random_weights(random).items()}  # fmt: skip
    rows = example.random_rows(random, 20)
    rows = rows if example.vocabulary else np.tanh(rows) + np.float32(0.01)
    found, plain = (Model(graph, weights, device)(rows) for device in (NumpyDevice(), PlainDevice()))
    assert np.abs(found - plain).mean() <= 0.02 * max(1e-3, np.abs(plain).mean())


def _files(folder: Path) -> tuple[bytes, bytes]:
    random = np.random.default_rng(9)
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in (("w", (20, 4)), ("b", (4,)))}
    x = random.standard_normal((3000, 20)).astype(np.float32)
    y = (x @ weights["w"] + weights["b"]).argmax(axis=1)
    (folder / "graph").write_bytes(GRAPH)
    (folder / "weights").write_bytes(tensors_file(weights))
    (folder / "rows").write_bytes(tensors_file({"x": x, "y": y}))
    return (folder / "weights").read_bytes(), (folder / "rows").read_bytes()


def test_a_child_scores_in_float32_and_says_so(tmp_path: Path) -> None:
    """The labels are what float32 answers; four bits for activations are too few to answer all alike."""
    _files(tmp_path)
    request = ScoreRequest(
        str(tmp_path / "graph"), str(tmp_path / "weights"), (str(tmp_path / "rows"),), "accuracy", 10**9, 1 << 20,
        device=FLOAT32,
    )  # fmt: skip
    plain = child.run(request, timeout_s=60)
    assert (plain.score, plain.scorer) == (10**6, FLOAT32)
    exact = child.run(ScoreRequest(*list(vars(request).values())[:6]), timeout_s=60)
    assert exact.scorer == "score-v1" and exact.score is not None and exact.score < 999_000


def test_no_node_can_choose_float32() -> None:
    """P9.4: only devices with the same bits vote."""
    assert PlainDevice.name == FLOAT32 and FLOAT32 not in NAMES and not PlainDevice.exact


@pytest.mark.parametrize(("exact", "large"), [(900_000, False), (901_000, False), (901_001, True), (898_999, True)])
def test_a_difference_above_a_tenth_of_a_point_is_large(exact: int, large: bool) -> None:
    """P9.2."""
    assert Comparison(10, exact, 900_000).large is large


def test_the_requester_compares_both_on_the_rows_it_gives(tmp_path: Path) -> None:
    from builders import TERMS

    weights, rows = _files(tmp_path)
    found = compare(TERMS, GRAPH, weights, [rows])
    assert found.rows == 3000 and found.float32 == 10**6 and found.difference == found.exact - 10**6
    assert found.large
