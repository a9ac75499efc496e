"""ONNX files as an attacker would write them: good graphs, changed where it hurts, made from a number.

A graph is changed up to three times as a graph (operators, names, attributes, shapes, constants), at times once more as
bytes. About one in five is still a graph that runs.
"""

from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from score_graphs import EXAMPLES

from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.errors import BadData, BadGraph, OutOfRange
from heldout.kernels.graph import Graph
from heldout.kernels.loader import load

T = TypeVar("T")
ROWS = 3
MOST_ELEMENTS = 1 << 16
MOST_OPERATIONS = 1 << 20
_MODELS = [example.graph() for example in EXAMPLES]
_KINDS = sorted({node.op_type for data in _MODELS for node in onnx.ModelProto.FromString(data).graph.node})
_OTHER_KINDS = (
    "Constant",
    "ConstantOfShape",
    "Range",
    "Expand",
    "Tile",
    "If",
    "Loop",
    "Scan",
    "",
    "gemm",
    "Cast",
    "Shape",
)
_SIZES = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    64,
    1024,
    65536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
    -1,
    -2,
    -(1 << 63),
)
_REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    "",
    "x",
    "y",
    "w",
    "axis",
    "forward",
    "bidirectional",
    "SAME_UPPER",
    "VALID",
    "tanh",
    "\x00",
    "é" * 50,
    "n" * 5000,
)
_JSON = (
    *("", "{}", "[]", "null", "{", '{"*": [9, 24]}', '{"widths": {"*": [10, 24]}}', '{"widths": {"*": [9, 53]}}'),
    *('{"widths": {"*": [1e400, 24]}}', '{"widths": 3}', '{"constants": ["w"]}', '{"constants": 7}', "[" * 50_000),
)


class Forger:
    """Makes one file. The same number makes the same file on every machine and version of Python."""

    def __init__(self, number: int) -> None:
        self._random = Random(number).random
        self._model = onnx.ModelProto.FromString(self._one_of(_MODELS))
        self._graph = self._model.graph

    def file(self) -> bytes:
        for _ in range(self._below(4)):
            self._change()
        data = bytearray(self._model.SerializeToString(deterministic=True))
        if self._below(4) == 0:
            place = self._below(len(data))
            data[place : place + self._below(4)] = bytes(self._below(256) for _ in range(self._below(4)))
        return bytes(data)

    def _change(self) -> None:
        ways = [self._operator, self._names, self._nodes, self._shape, self._value, self._input, self._settings]
        self._one_of([*ways, self._attribute, self._attribute])()

    def _operator(self) -> None:
        self._node().op_type = self._one_of((*_KINDS, *_KINDS, *_OTHER_KINDS))

    def _names(self) -> None:
        """An input or output is another tensor, none, or one too many."""
        node = self._node()
        names = self._one_of((node.input, node.input, node.output))
        known = ["x", "", *(tensor.name for tensor in self._graph.initializer)]
        known += [name for each in self._graph.node for name in each.output]
        place = self._below(len(names) + 1)
        kept = list(names)
        kept[place : place + self._below(2)] = [self._one_of(known)][: self._below(3)]
        names[:] = kept

    def _nodes(self) -> None:
        nodes = list(self._graph.node) or [onnx.NodeProto()]
        node = nodes.pop(self._below(len(nodes)))
        for _ in range(self._below(3)):
            nodes.insert(self._below(len(nodes) + 1), node)
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def _attribute(self) -> None:
        """A value of an attribute, its type, or its name; or there is one more."""
        node = self._node()
        if not node.attribute or self._below(6) == 0:
            node.attribute.append(onnx.helper.make_attribute(self._one_of(("axis", "group", "perm", "to", "alpha")), 1))
        attribute = self._one_of(node.attribute)
        match self._below(6):
            case 0:
                attribute.i = self._one_of(_SIZES)
            case 1:
                attribute.f = self._one_of(_REALS)
            case 2:
                attribute.s = self._one_of(_TEXTS).encode()
            case 3:
                attribute.name = self._one_of((*_TEXTS, "kernel_shape", "strides", "pads", "value"))
            case 4:
                attribute.type = self._below(15)
            case _:
                self._numbers(attribute.ints)

    def _shape(self) -> None:
        if self._graph.initializer:
            tensor = self._one_of(self._graph.initializer)
            self._numbers(tensor.dims)
            if self._below(8) == 0:
                tensor.data_type = self._below(20)

    def _value(self) -> None:
        """What a constant holds: a target shape, indices, a mask; or its bytes are too few."""
        fixed = [tensor for tensor in self._graph.initializer if tensor.raw_data]
        if fixed:
            tensor = self._one_of(fixed)
            kind = "<i8" if tensor.data_type == onnx.TensorProto.INT64 else "<f4"
            if self._below(6) == 0:
                tensor.raw_data = tensor.raw_data[: self._below(len(tensor.raw_data))]
            elif len(tensor.raw_data) % np.dtype(kind).itemsize == 0:
                values = np.frombuffer(tensor.raw_data, kind).copy()
                values[self._below(len(values))] = self._one_of(_SIZES if kind == "<i8" else _REALS)
                tensor.raw_data = values.tobytes()

    def _input(self) -> None:
        tensor = self._graph.input[0].type.tensor_type
        if self._below(4) == 0 or not tensor.shape.dim:
            tensor.elem_type = self._below(20)
        else:
            self._one_of(tensor.shape.dim).dim_value = self._one_of(_SIZES)

    def _settings(self) -> None:
        del self._model.metadata_props[:]
        self._model.metadata_props.add(key="score-v1", value=self._one_of(_JSON))

    def _numbers(self, numbers: Any) -> None:
        """One of a list of numbers becomes another, is joined by another, or goes; or there are very many."""
        kept = list(numbers)
        place = self._below(len(kept) + 1)
        kept[place : place + self._below(2)] = [self._one_of(_SIZES)][: self._below(3)]
        numbers[:] = kept * (3000 if self._below(50) == 0 else 1)

    def _node(self) -> onnx.NodeProto:
        return self._one_of(self._graph.node) if self._graph.node else self._graph.node.add()

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)

    def _one_of(self, values: Sequence[T]) -> T:
        return values[self._below(len(values))]


def forge(number: int) -> bytes:
    return Forger(number).file()


def judge(data: bytes) -> bytes:
    """Nothing if the file is no graph, else what comes out of it: bits, or that a value left the range.

    Any error but those that are said is a failure of the loader or the engine. A row's bits are its own, whatever rows
    are beside it.
    """
    try:
        graph = load(data)
    except BadGraph:
        return b""
    sizes = [int(np.prod(shape)) for shape in graph.weights.values()]
    if max([graph.widest, *sizes]) > MOST_ELEMENTS or graph.operations_per_row > MOST_OPERATIONS:
        return f"{graph.operations_per_row} operations".encode()
    random = np.random.Generator(np.random.PCG64(len(data)))
    try:
        model = Model(graph, {name: _reals(random, shape) for name, shape in graph.weights.items()}, NumpyDevice())
        rows = _rows(random, graph)
        outputs = model(rows)
        alone = np.concatenate([model(rows[place : place + 1]) for place in range(ROWS)])
    except (OutOfRange, BadData) as problem:
        return problem.code.encode()
    if outputs.shape != (ROWS, graph.outputs) or not np.array_equal(outputs, alone) or not np.isfinite(outputs).all():
        raise AssertionError(f"rows meet, or leave the range, in {data!r}")
    return sha256((outputs + np.float32(0)).astype("<f4").tobytes()).digest()


def _rows(random: np.random.Generator, graph: Graph) -> NDArray[Any]:
    return (random.random((ROWS, *graph.input_shape)) * 2).astype(np.int64 if graph.tokens else np.float32)


def _reals(random: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    return (random.random(tuple(shape)) + 0.01).astype(np.float32)
