"""One lane, from files to a vote (P9). Runs inside the scoring process.

This is the one module here that knows the market, and only its strict reader of safetensors: what a validator checks
and what it computes with must be the same bytes at the same offsets.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels import SCORER
from heldout.kernels.child import BAD, ScoreRequest, ScoreResult
from heldout.kernels.devices.choice import open_device
from heldout.kernels.devices.interface import Array
from heldout.kernels.devices.plain import PlainDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.errors import BadData, BadGraph, ChildFailed, OutOfRange
from heldout.kernels.graph import Graph, operations
from heldout.kernels.loader import load
from heldout.kernels.logarithms import Integers
from heldout.kernels.memory import MOST_PER_ROW, per_row
from heldout.kernels.metrics import METRICS, Metric, score_ppm
from heldout.kernels.operators import Pointwise, Softmax
from heldout.market.errors import BadWeights
from heldout.market.weights import Entry, TensorSpec, check, parse

_EVIDENCE_CONTEXT = b"heldout/evidence/v1"
_BATCH_ELEMENTS = 1 << 20
_MOST_ROWS = 256
TURN = 1 << 14
"""Operations that take about as long as one turn of the interpreter."""
_LARGEST_INPUT = 2.0**100
_OF_VALUES = ("rmse", "mae")
"""Metrics that read values; the others read logits."""


def score(request: ScoreRequest) -> ScoreResult:
    """The result of one lane; a submission that fails the strict check or leaves the range of numbers is BAD.

    Without any shard only the weights are checked, and there is neither score nor code if they pass.
    Raises BadGraph, BadData, TooManyOperations (the requester's), NoDevice or ChildFailed (a file or metric that is not
    there).
    """
    graph = load(_read(request.graph))
    metric = METRICS.get(request.metric)
    if metric is None:
        raise ChildFailed(f"{request.metric!r} is not one of the metrics {', '.join(METRICS)}")
    _check_ending(graph, request.metric)
    shards = [_read_shard(_read(path), graph) for path in request.shards]
    labels = [metric.read(y, graph.outputs) for _, y in shards]
    rows = sum(map(len, labels))
    cost = operations(graph, rows, request.operation_cap)
    device = PlainDevice() if request.device == PlainDevice.name else open_device(request.device)
    try:
        model = Model(graph, _read_weights(request, graph), device)
        if not shards:
            return ScoreResult(None, None, None, bytes(32), rows, cost)
        predictions = predict(graph, model, metric, [x for x, _ in shards], labels, request.threads)
    except (BadWeights, OutOfRange) as problem:
        return ScoreResult(None, BAD, problem.message, bytes(32), rows, cost)
    ppm = score_ppm(metric, predictions, np.concatenate(labels))
    scorer = SCORER if device.exact else device.name
    told = _account(graph, model, [x for x, _ in shards], predictions) if request.account else None
    return ScoreResult(ppm, None, None, evidence(metric, predictions), rows, cost, scorer, told)


def _check_ending(graph: Graph, metric: str) -> None:
    """Raises BadGraph if a graph gives probabilities to a metric that reads logits, or the other way about."""
    ending = graph.ending
    if metric in _OF_VALUES:
        if graph.softmax:
            raise BadGraph(f"{metric} cannot read a graph that ends in Softmax")
    elif isinstance(ending, Softmax):
        raise BadGraph(f"{metric} reads logits: nothing may follow the last Softmax, not even Reshape")
    elif graph.outputs == 1 and ending == Pointwise("sigmoid") and metric != "auc":
        raise BadGraph(f"{metric} reads the logit, and a probability is always above 0: leave the last Sigmoid out")


def _account(graph: Graph, model: Model, inputs: Sequence[NDArray[Any]], predictions: Integers) -> dict[str, Any]:
    from heldout.kernels.account import account

    batches = (x[begin:end] for x in inputs for begin, end in batch_bounds(graph, len(x)))
    return account(model, batches, predictions)


def predict(
    graph: Graph,
    model: Model,
    metric: Metric,
    inputs: Sequence[NDArray[Any]],
    labels: Sequence[Integers],
    threads: int = 1,
) -> Integers:
    """The metric's integer for each row of all shards, in order. Each thread computes batches of its own."""
    batches = [
        (x[begin:end], y[begin:end])
        for x, y in zip(inputs, labels, strict=True)
        for begin, end in batch_bounds(graph, len(x))
    ]
    if not batches:
        return np.zeros(0, np.int64)
    longest = max(len(y) for _, y in batches)
    fitting = max(1, MOST_PER_ROW // (per_row(graph) * max(1, longest)))
    with ThreadPoolExecutor(min(threads, fitting)) as pool:
        return np.concatenate(list(pool.map(lambda batch: metric.predict(model(batch[0]), batch[1]), batches)))


def evidence(metric: Metric, predictions: Integers) -> bytes:
    """SHA-256 of context ‖ metric id (2 bytes) ‖ rows (8 bytes) ‖ each row's int64, all little-endian (P9.5)."""
    head = _EVIDENCE_CONTEXT + metric.id.to_bytes(2, "little") + len(predictions).to_bytes(8, "little")
    return sha256(head + predictions.astype("<i8").tobytes()).digest()


def read_tensors(data: bytes) -> dict[str, Array]:
    """All tensors of a safetensors file. Raises BadWeights."""
    return {name: _array(data, entry) for name, entry in parse(data).items()}


def batch_bounds(graph: Graph, rows: int) -> Iterator[tuple[int, int]]:
    """First and last row (exclusive) of each batch. Its buffers stay in a cache, but it is not so small that a graph of
    many small steps takes far longer than the operations it is bounded by. Its size cannot change a bit."""
    cached = min(_MOST_ROWS, _BATCH_ELEMENTS // graph.widest)
    worthwhile = graph.turns * TURN // max(1, graph.operations_per_row)
    size = max(1, min(max(cached, worthwhile), MOST_PER_ROW // per_row(graph)))
    for begin in range(0, rows, size):
        yield begin, min(begin + size, rows)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise ChildFailed(f"cannot read an input file: {problem.strerror}") from None


def _read_weights(request: ScoreRequest, graph: Graph) -> dict[str, Array]:
    """The submitted tensors, checked. Raises BadWeights; a file that is too long is not read to its end."""
    spec = {name: TensorSpec(shape) for name, shape in graph.weights.items()}
    with Path(request.weights).open("rb") as file:
        data = file.read(min(os.fstat(file.fileno()).st_size, request.weights_bytes + 1))
    return {name: _array(data, entry) for name, entry in check(data, spec, request.weights_bytes).items()}


def _read_shard(data: bytes, graph: Graph) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows of a held-out shard. Raises BadData unless they fit the graph."""
    try:
        entries = parse(data)
    except BadWeights as problem:
        raise BadData(f"a shard is not a safetensors file of rows: {problem.message}") from None
    if entries.keys() != {"x", "y"}:
        raise BadData("a shard must hold exactly x and y")
    _check_rows(entries["x"], entries["y"], graph)
    x, y = _array(data, entries["x"]), _array(data, entries["y"])
    if x.dtype == np.float32 and x.size and not np.abs(x).max() <= _LARGEST_INPUT:
        raise BadData("x holds a value that is not finite, or beyond 2**100")
    return x, y


def _check_rows(x: Entry, y: Entry, graph: Graph) -> None:
    """Before there is any array: a shape that holds nothing, such as [0, 2**47, 2**47], is more than NumPy can make."""
    kind = "I64" if graph.tokens else "F32"
    if x.dtype != kind or x.shape[1:] != graph.input_shape or y.shape not in (x.shape[:1], (*x.shape[:1], 1)):
        told = f"[rows, {', '.join(map(str, graph.input_shape))}]"
        raise BadData(f"x must be {'int64' if graph.tokens else 'float32'} of shape {told}, y one number for each row")


def _array(data: bytes, entry: Entry) -> Array:
    kind = {"F32": "<f4", "I64": "<i8"}[entry.dtype]
    values = np.frombuffer(data[entry.start : entry.end], kind).reshape(entry.shape)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
