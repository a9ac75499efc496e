"""P9.2: no order, batch or BLAS changes a bit, and the bits are those that docs/score-v1.md defines."""

import numpy as np
import pytest
import score_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from score_graphs import EXAMPLES, Example, node

from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.errors import OutOfRange
from heldout.kernels.graph import Graph
from heldout.kernels.loader import load

DEVICE = NumpyDevice()
IDS = [example.name for example in EXAMPLES]


def reference(graph: Graph, weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.stack([score_reference.outputs(graph, weights, row) for row in rows])


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    """Adding zero makes the two zeros one."""
    assert (found + np.float32(0)).tobytes() == (expected + np.float32(0)).tobytes()


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_every_operator_has_the_bits_of_rational_arithmetic(example: Example) -> None:
    """P9.2, each operator against an implementation that knows no floating point."""
    random = np.random.default_rng(1)
    graph, weights, rows = load(example.graph()), example.random_weights(random), example.random_rows(random, 3)
    assert_same_bits(Model(graph, weights, DEVICE)(rows), reference(graph, weights, rows))


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_the_batch_cannot_change_a_bit(example: Example) -> None:
    """P9.2: batches of 1, 7, 100 and all rows."""
    random = np.random.default_rng(2)
    model = Model(load(example.graph()), example.random_weights(random), DEVICE)
    rows = example.random_rows(random, 130)
    whole = model(rows)
    for size in (1, 7, 100):
        parts = [model(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
        assert_same_bits(np.concatenate(parts), whole)


@pytest.mark.parametrize("widths", [(9, 24), (24, 53)])
def test_the_order_of_a_sum_cannot_change_a_bit(widths: tuple[int, int]) -> None:
    """P9.2: 3,000 terms permuted. The same sums in plain float32 do change, or this test would show nothing."""
    example = Example("long", [node("Gemm", "x w b", "y")], (3000,), {"w": (3000, 8), "b": (8,)}, widths={"*": widths})
    random = np.random.default_rng(3)
    graph, weights, rows = load(example.graph()), example.random_weights(random), example.random_rows(random, 20)
    order = random.permutation(3000)
    moved = {**weights, "w": weights["w"][order]}
    assert_same_bits(Model(graph, moved, DEVICE)(rows[:, order]), Model(graph, weights, DEVICE)(rows))
    assert (rows[:, order] @ moved["w"] != rows @ weights["w"]).any()


def test_the_order_of_channels_cannot_change_a_bit() -> None:
    """P9.2: the channels under a convolution permuted."""
    example = Example(
        "deep", [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "y"), node("Flatten", "y", "z")],
        (64, 6, 6), {"w": (4, 64, 3, 3)},
    )  # fmt: skip
    random = np.random.default_rng(4)
    graph, weights, rows = load(example.graph()), example.random_weights(random), example.random_rows(random, 5)
    order = random.permutation(64)
    moved = Model(graph, {"w": weights["w"][:, order]}, DEVICE)(np.ascontiguousarray(rows[:, order]))
    assert_same_bits(moved, Model(graph, weights, DEVICE)(rows))


@pytest.mark.parametrize("widths", [(9, 24), (4, 24), (16, 24), (24, 53)])
def test_sums_at_the_very_bound_are_exact(widths: tuple[int, int]) -> None:
    """P9.2: activations all at their peak and weights that use up the budget sum to 2**total."""
    activation, total = widths
    terms, budget = 256, 2 ** (total - activation)
    steps = np.full(terms, budget // terms, np.int64)
    example = Example("bound", [node("Gemm", "x w", "y")], (terms,), {"w": (terms, 2)}, widths={"*": widths})
    weights = {"w": np.stack([steps, -steps], axis=1).astype(np.float32) * np.float32(2.0**-20)}
    rows = np.ones((3, terms), np.float32)
    rows[1, ::2] -= np.float32(2.0**-6)
    rows[2, 0] = -1
    graph = load(example.graph())
    assert_same_bits(Model(graph, weights, DEVICE)(rows), reference(graph, weights, rows))


@settings(max_examples=50, deadline=None)
@given(
    example=st.sampled_from([example for example in EXAMPLES if "spans" not in example.name]),
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(-50, 40), st.integers(-50, 40)),
)
def test_values_of_any_size_have_the_bits_of_rational_arithmetic(
    example: Example, seed: int, sizes: tuple[int, int]
) -> None:
    """P9.2, where values are tiny or huge: grids stop at their bounds."""
    random = np.random.default_rng(seed)
    graph = load(example.graph())
    weights = {
        name: value if name == "variance" else value * np.float32(2.0 ** sizes[0])
        for name, value in example.random_weights(random).items()
    }
    rows = example.random_rows(random, 1)
    rows = rows if example.vocabulary else rows * np.float32(2.0 ** sizes[1])
    try:
        found = Model(graph, weights, DEVICE)(rows)
    except OutOfRange:
        assert max(sizes) > 10
        return
    assert_same_bits(found, reference(graph, weights, rows))


@pytest.mark.parametrize("value", [3.4e38, 2.0**100, -(2.0**127)])
def test_weights_beyond_the_range_are_refused_and_never_become_infinite(value: float) -> None:
    """P9.1: an overflow is a verdict, the same one everywhere."""
    example = next(example for example in EXAMPLES if example.name == "mlp")
    random = np.random.default_rng(5)
    graph, rows = load(example.graph()), example.random_rows(random, 2)
    for name in example.weights:
        weights = example.random_weights(random)
        weights[name].flat[0] = value
        with pytest.raises(OutOfRange):
            Model(graph, weights, DEVICE)(rows)


def test_activations_that_would_leave_the_range_are_refused() -> None:
    """P9.1: a network that grows without bound, layer after layer."""
    layers = [node("MatMul", f"{'x' if i == 0 else f'h{i}'} w", f"h{i + 1}") for i in range(6)]
    graph = load(Example("growing", layers, (3,), {"w": (3, 3)}).graph())
    with pytest.raises(OutOfRange):
        Model(graph, {"w": np.full((3, 3), 2.0**20, np.float32)}, DEVICE)(np.ones((1, 3), np.float32))


def test_a_sum_of_two_tensors_beyond_the_range_is_refused() -> None:
    """P9.1: residual connections can leave the range as well."""
    graph = load(Example("doubling", [node("Add", "x x", "a"), node("Add", "a a", "y")], (2,), {}).graph())
    with pytest.raises(OutOfRange):
        Model(graph, {}, DEVICE)(np.full((1, 2), 2.0**99, np.float32))


def test_a_variance_that_is_not_positive_is_refused() -> None:
    """P9.1."""
    example = next(example for example in EXAMPLES if example.name == "batch_normalization")
    weights = example.random_weights(np.random.default_rng(6))
    weights["variance"][1] = -0.5
    with pytest.raises(OutOfRange):
        Model(load(example.graph()), weights, DEVICE)


@pytest.mark.parametrize("terms", [1, 9, 64, 256, 1024])
def test_rounding_to_grids_moves_the_outputs_of_float32_little(terms: int) -> None:
    """Widths by default: the error is below 1 % of the outputs' spread, even for noise."""
    example = Example("plain", [node("Gemm", "x w b", "y")], (terms,), {"w": (terms, 10), "b": (10,)})
    random = np.random.default_rng(7)
    weights = {"w": random.standard_normal((terms, 10)).astype(np.float32), "b": np.ones(10, np.float32)}
    rows = random.standard_normal((200, terms)).astype(np.float32)
    found = Model(load(example.graph()), weights, DEVICE)(rows)
    plain = rows @ weights["w"] + weights["b"]
    assert (found - plain).std() < 0.01 * plain.std()
