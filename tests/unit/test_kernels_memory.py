"""P9.1: how much a graph takes is known, and bounded, before anything runs. Threat 65."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from score_graphs import EXAMPLES, node, onnx_file, tensors_file

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.graph import operations
from heldout.kernels.loader import load
from heldout.kernels.memory import MOST_FIXED, MOST_PER_ROW, fixed, per_row
from heldout.validator.run import SCORER_MEMORY

W = {"w": (4, 3)}
LAST = node("Gemm", "x w", "y")
MILLIONS = {"s": [2000, 2000]}
ZEROS = helper.make_node("ConstantOfShape", ["s"], ["i"], value=helper.make_tensor("v", 7, [1], [0]))


def shared(count: int) -> bytes:
    """`count` tensors of a million elements from one row, all alive until the last is made."""
    nodes = [node("Expand", "x s", "e0"), *(node("Relu", "e0", f"e{i}") for i in range(1, count))]
    sums = [node("Add", f"a{i - 1}" if i > 1 else "e0", f"a{i}") for i in range(1, count)]
    for place, each in enumerate(sums, 1):
        each.input.append(f"e{place}")
    tail = [node("ReduceMean", f"a{count - 1} axes", "m", keepdims=0), node("Flatten", "m", "y")]
    return onnx_file([*nodes, *sums, *tail], (1, 1), {"w": (1,)}, fixed={"s": [1, 16, 1 << 16], "axes": [2]})


AXES = np.ones(1 << 20, np.int64)
"""That a file names once, and thousands of nodes can go through."""

BOMBS: dict[str, bytes] = {
    "axes without end": onnx_file([node("ReduceMean", "x axes", "m"), LAST], (4,), W, fixed={"axes": AXES}),
    "slices without end": onnx_file(
        [node("Slice", "x none axes axes", "m"), LAST], (4,), W, fixed={"axes": AXES, "none": 0 * AXES}
    ),
    "parts without end": onnx_file(
        [helper.make_node("Split", ["x"], [f"s{place}" for place in range(10_000)], axis=1), node("Gemm", "s0 w", "y")],
        (10_000,),
        {"w": (1, 3)},
    ),
    "Gather of constants": onnx_file([ZEROS, node("Gather", "i i", "g"), LAST], (4,), W, fixed=MILLIONS),
    "Concat of constants": onnx_file(
        [ZEROS, helper.make_node("Concat", ["i"] * 3000, ["c"], axis=0), LAST], (4,), W, fixed=MILLIONS
    ),
    "Range": onnx_file(
        [node("Range", "a b c", "r"), LAST], (4,), W, fixed=dict(zip("abc", np.int64([0, 2**62, 1]), strict=True))
    ),
    "a Range without end": onnx_file(
        [node("Range", "a b c", "r"), LAST], (4,), W, fixed=dict(zip("abc", np.float32([0, np.inf, 1]), strict=True))
    ),
    "ConstantOfShape": onnx_file([node("ConstantOfShape", "s", "c"), LAST], (4,), W, fixed={"s": [1 << 40]}),
    "constants that add up": onnx_file(
        [ZEROS, *(node("Transpose", "i", f"t{place}", perm=[1, 0]) for place in range(9)), LAST],
        (4,),
        W,
        fixed=MILLIONS,
    ),
    "places that add up": onnx_file(
        [ZEROS, *(node("Gather", "x i", f"g{place}", axis=1) for place in range(9)), LAST], (4,), W, fixed=MILLIONS
    ),
    "weights made of weights": onnx_file(
        [node("Expand", "w s", "e0"), *(node("Neg", "e0", f"e{place}") for place in range(1, 90)), LAST],
        (4,),
        W,
        fixed={"s": [1 << 20, 4, 3]},
    ),
    "tensors that live long": shared(200),
    "paddings of a convolution": onnx_file(
        [node("Conv", "x w", "c", pads=[65_000] * 4, strides=[65_536] * 2), node("Flatten", "c", "y")],
        (1, 4, 4),
        {"w": (1, 1, 3, 3)},
    ),
    "paddings of a pool": onnx_file(
        [
            node("MaxPool", "x", "p", kernel_shape=[65_536, 1], pads=[65_535, 0] * 2, strides=[65_536, 1]),
            node("Flatten", "p", "y"),
        ],
        (1000, 4, 4),
        {},
    ),
    "windows written out": onnx_file(
        [node("Conv", "x w", "c", pads=[16] * 4), node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")],
        (64, 256, 256),
        {"w": (1, 64, 32, 32)},
    ),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_graph_that_no_machine_must_hold_is_refused_before_it_takes_anything(data: bytes) -> None:
    with pytest.raises(BadGraph):
        load(data)


def test_a_window_of_a_million_cells_is_not_defined() -> None:
    nodes = [node("MaxPool", "x", "p", kernel_shape=[1000, 1000], pads=[999] * 4), node("Flatten", "p", "y")]
    with pytest.raises(Unsupported, match="65536 cells"):
        load(onnx_file(nodes, (1, 4, 4), {}))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_what_a_row_takes_is_at_least_its_widest_tensor(example: Any) -> None:
    graph = load(example.graph())
    assert graph.widest <= per_row(graph) < MOST_PER_ROW
    assert sum(map(np.prod, graph.weights.values())) <= fixed(graph) < MOST_FIXED


def test_tensors_count_as_long_as_they_are_read_again() -> None:
    """A chain holds two tensors and a copy of the first, whatever its length; what waits for the end is held."""

    def chain(length: int) -> bytes:
        names = ["x", *(f"r{place}" for place in range(1, length)), "y"]
        return onnx_file([node("Relu", a, b) for a, b in pairwise(names)], (100,), {})

    assert per_row(load(chain(2))) == per_row(load(chain(50))) == 300
    more = per_row(load(shared(12))) - per_row(load(shared(11)))
    assert more == 16 << 16


def test_moving_costs_operations_too() -> None:
    """Else a graph of moves alone would keep a validator busy under any cap (P9.1)."""
    nodes = [node("Gather", "x places", "g", axis=1), node("Concat", "g g", "y", axis=1)]
    graph = load(onnx_file(nodes, (4,), {}, fixed={"places": np.zeros(1000, np.int64)}))
    assert operations(graph, 1) == 1000 + 2000


@pytest.mark.deep
@pytest.mark.parametrize("width", [24, 53])
def test_a_seat_has_memory_for_the_most_weights_that_are_let_through(tmp_path: Path, width: int) -> None:
    """Else a graph at the bounds would keep every honest seat from its vote. An eighth of it all."""
    side = math.isqrt(MOST_FIXED // 8) - 1
    nodes = [node("Expand", "w s", "wide"), node("MatMul", "x wide", "h"), node("Slice", "h begin end axis", "y")]
    fixed = {"s": [side, side], "begin": [0], "end": [2], "axis": [1]}
    graph = onnx_file(nodes, (side,), {"w": (1, 1)}, fixed=fixed, widths={"*": (10, width)})
    (tmp_path / "graph").write_bytes(graph)
    (tmp_path / "weights").write_bytes(tensors_file({"w": np.ones((1, 1), np.float32)}))
    (tmp_path / "rows").write_bytes(tensors_file({"x": np.ones((1, side), np.float32), "y": np.zeros(1, np.int64)}))
    files = (str(tmp_path / "graph"), str(tmp_path / "weights"), (str(tmp_path / "rows"),))
    request = ScoreRequest(*files, "accuracy", 1 << 40, 1 << 20, memory_bytes=SCORER_MEMORY // 8)
    assert child.run(request, timeout_s=600).score == 1_000_000
