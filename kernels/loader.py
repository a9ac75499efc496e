"""From an ONNX file to the graph `score-v1` runs (P9.1). Only here, in `reading*` and in `folding` is onnx known.

An ONNX file is data here: nothing in it is executed, no other file it names is opened, and what is not understood is
refused by name. It is read for a batch of one row; the engine then runs many rows side by side, which never meet.

Float32 initialisers are the tensors to be submitted: names and shapes count, values are ignored and may be left out.
Not submitted, but fixed by their values, are scalars, tensors that hold a magnitude above 2**64 (masks), and what the
file's metadata name: an entry `score-v1`, JSON such as {"constants": ["positions"], "widths": {"*": [10, 24]}}.
"""

import json
import operator
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from heldout.kernels import SCORER
from heldout.kernels.attributes import called, read_attributes
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.folding import FOLDED, Value, fold, read_tensor
from heldout.kernels.graph import Graph
from heldout.kernels.memory import check_memory
from heldout.kernels.operators import Widths
from heldout.kernels.reading import COMPUTING, check_softmax_axis
from heldout.kernels.reading_moves import MOVING
from heldout.kernels.scope import LARGEST_CONSTANT, Scope, Settings, bounded
from heldout.kernels.wire import check_description

MAX_GRAPH_BYTES = 1 << 26
MAX_NODES = 4096
MAX_OUTPUTS = 2 * MAX_NODES
"""Of all nodes together: each part of a Split is a step of its own."""
LEAST_OPSET = 17
_COMPUTED = COMPUTING.keys() | MOVING.keys() | {"Constant", "Identity", "Shape", "Cast"}
SUPPORTED = " ".join(sorted(_COMPUTED))
_KNOWN = _COMPUTED | FOLDED


def load(data: bytes) -> Graph:
    """The graph of an ONNX file. Raises BadGraph, or Unsupported naming the operator or attribute."""
    if len(data) > MAX_GRAPH_BYTES:
        raise BadGraph(f"the graph has {len(data)} bytes, at most {MAX_GRAPH_BYTES} are read; leave the weights out")
    check_description(data)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise BadGraph("this is not an ONNX file") from None
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("", opsets.get("ai.onnx", 0)) < LEAST_OPSET:
        raise BadGraph(f"the graph needs ONNX opset {LEAST_OPSET} or later")
    if not 0 < len(model.graph.node) <= MAX_NODES:
        raise BadGraph(f"the graph has {len(model.graph.node)} nodes: at least 1 and at most {MAX_NODES} are read")
    if sum(len(node.output) for node in model.graph.node) > MAX_OUTPUTS:
        raise BadGraph(f"the graph's nodes have more than {MAX_OUTPUTS} outputs")
    try:
        return _Loader(model.graph, _read_settings(model)).load()
    except (TypeError, ValueError, IndexError, AttributeError, AssertionError, OverflowError) as problem:
        # ONNX leaves the number of inputs and the types of attributes unchecked.
        raise BadGraph(f"the graph has a node that is not as ONNX defines it: {problem}") from None


def _read_settings(model: onnx.ModelProto) -> Settings:
    text = next((entry.value for entry in model.metadata_props if entry.key == SCORER), "{}")
    try:
        raw: dict[str, Any] = json.loads(text)
        widths = {name: Widths(*map(operator.index, pair)) for name, pair in raw.pop("widths", {}).items()}
        constants = frozenset(map(str, raw.pop("constants", [])))
        if raw:
            raise ValueError(f"unknown entries {sorted(raw)}")
    except (ValueError, TypeError, AttributeError, RecursionError) as problem:
        wanted = 'JSON such as {"widths": {"node": [10, 24]}, "constants": ["tensor"]}'
        raise BadGraph(f"metadata {SCORER!r} must be {wanted}: {problem}") from None
    return Settings(widths, constants)


class _Loader:
    """Reads one graph, node after node."""

    def __init__(self, graph: onnx.GraphProto, settings: Settings) -> None:
        self.graph = graph
        self.scope = Scope(settings)
        self.softmax = False
        if len(graph.output) != 1:
            raise BadGraph("the graph must have exactly one output")
        for tensor in graph.initializer:
            self._read_initialiser(tensor)
        self.input, self.input_shape, self.tokens = self._read_input()

    def load(self) -> Graph:
        for node in self.graph.node:
            self._read_node(node)
        scope = self.scope
        scope.check_settings()
        output = scope.tensor(self.graph.output[0].name)
        shape = scope.shapes[output]
        if len(shape) != 2 or shape[0] != 1 or output in scope.static or not scope.nodes:
            raise BadGraph(f"the output must be computed, of shape [rows, outputs], not {['rows', *shape[1:]]}")
        prepared = tuple(node for node in scope.nodes if node.output in scope.static)
        nodes = tuple(node for node in scope.nodes if node.output not in scope.static)
        graph = Graph(
            self.input,
            self.input_shape,
            self.tokens,
            prepared,
            nodes,
            output,
            shape[1],
            dict(scope.weights),
            dict(scope.constants),
            self.softmax,
        )
        check_memory(graph)
        return graph

    def _read_initialiser(self, tensor: onnx.TensorProto) -> None:
        scope, name = self.scope, self.scope.declare(tensor.name, "an initialiser")
        if tensor.data_type == onnx.TensorProto.FLOAT and not self._is_fixed(tensor):
            scope.weights[name] = scope.shapes[name] = bounded(name, tuple(tensor.dims))
            scope.static.add(name)
        else:
            scope.values[name] = read_tensor(tensor, f"initialiser {name!r}")

    def _is_fixed(self, tensor: onnx.TensorProto) -> bool:
        if tensor.name in self.scope.settings.constants or not tensor.dims:
            return True
        if tensor.external_data or not (tensor.raw_data or tensor.float_data):
            return False
        return bool((np.abs(onnx.numpy_helper.to_array(tensor)) > LARGEST_CONSTANT).any())

    def _read_input(self) -> tuple[str, tuple[int, ...], bool]:
        """The one input's name, a row's shape, and whether it holds whole numbers."""
        scope = self.scope
        inputs = [each for each in self.graph.input if each.name not in scope.values and each.name not in scope.weights]
        if len(inputs) != 1:
            raise BadGraph(f"the graph must have exactly one input that is no initialiser, not {len(inputs)}")
        name, tensor = scope.declare(inputs[0].name, "the input"), inputs[0].type.tensor_type
        rows, *shape = [dimension.dim_value for dimension in tensor.shape.dim] or [0]
        kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)
        if tensor.elem_type not in kinds or not 0 < len(shape) <= 4 or not all(size > 0 for size in shape):
            raise BadGraph("the input must be float32 or int64 with rows first and every other size fixed")
        if rows > 1:
            raise BadGraph(f"the input is fixed to {rows} rows: export with one row, or with any number of them")
        scope.shapes[name] = bounded(name, (1, *shape))
        tokens = tensor.elem_type == onnx.TensorProto.INT64
        if tokens:
            scope.whole.add(name)
        return name, tuple(shape), tokens

    # ------------------------------------------------------------------------------------------------------- nodes

    def _read_node(self, node: onnx.NodeProto) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operator {node.domain}.{node.op_type} is not defined; {SCORER} has {SUPPORTED}")
        outputs = [name for name in node.output if name]
        for name in outputs:
            self.scope.declare(name, f"what {called(node)} gives")
        if self.softmax:
            raise Unsupported("a last Softmax may have nothing after it")
        if node.op_type not in _KNOWN:
            raise Unsupported(f"operator {called(node)} is not defined; {SCORER} has {SUPPORTED}")
        if len(outputs) != 1 and node.op_type not in ("Split", "LSTM", "GRU"):
            raise Unsupported(f"{called(node)} must have one output")
        if not self._read_constant(node):
            self._read_computed(node)

    def _read_constant(self, node: onnx.NodeProto) -> bool:
        """Whether the node says something that is known now: then it is among the values."""
        scope = self.scope
        names = [name for name in node.input if name]
        if node.op_type == "Constant":
            value = self._constant(node)
        elif node.op_type == "Shape":
            begin, end = (read_attributes(node, start=0, end=None)[name] for name in ("start", "end"))
            value = np.array(scope.shape(names[0])[begin:end], np.int64)
        elif node.op_type in FOLDED and all(map(scope.is_value, names)):
            value = fold(node, [scope.values[scope.source(name)] for name in names])
        else:
            return False
        scope.spend(value.size)
        scope.values[node.output[0]] = value
        return True

    def _constant(self, node: onnx.NodeProto) -> Value:
        attributes = read_attributes(node, value=None, value_float=None, value_int=None, value_ints=None)
        if attributes["value"] is not None:
            return read_tensor(attributes["value"], called(node))
        if attributes["value_float"] is not None:
            return np.array(attributes["value_float"], np.float32)
        whole = attributes["value_int"] if attributes["value_ints"] is None else attributes["value_ints"]
        return np.array(whole, np.int64)

    def _read_computed(self, node: onnx.NodeProto) -> None:
        scope = self.scope
        last = node.output[0] == self.graph.output[0].name
        if node.op_type in ("Identity", "Cast"):
            self._pass_on(node)
        elif node.op_type in ("Softmax", "LogSoftmax") and last:
            check_softmax_axis(scope, node)
            scope.alias(node.output[0], scope.tensor(node.input[0]))
            self.softmax = True
        elif reader := COMPUTING.get(node.op_type) or MOVING.get(node.op_type):
            reader(scope, node)
        else:
            raise Unsupported(f"operator {called(node)} is only defined for constants; {SCORER} has {SUPPORTED}")

    def _pass_on(self, node: onnx.NodeProto) -> None:
        source = self.scope.tensor(node.input[0])
        kind = read_attributes(node, to=None, saturate=1)["to"] if node.op_type == "Cast" else None
        known = onnx.TensorProto.INT64 if source in self.scope.whole else onnx.TensorProto.FLOAT
        if kind not in (None, known):
            raise Unsupported(f"{called(node)} changes the type of a computed tensor")
        self.scope.alias(node.output[0], source)
