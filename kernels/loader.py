"""From an ONNX file to the graph `score-v0` runs (P9.1). This and `attributes` are the only places that know onnx.

An ONNX file is data here: nothing in it is executed, no other file it names is opened, and what is not understood is
refused by name. The float32 initialisers are the tensors to be submitted: names and shapes count, values are ignored
and may be left out. Everything else about the graph is fixed by the requester, shapes included.

Widths (see `Widths`) follow from the length of each sum, unless the file's metadata has a `score-v0` entry, which is
JSON of the form `{"node name": [activation bits, total bits], "*": [10, 24]}`.
"""

import json
import math

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from heldout.kernels import SCORER
from heldout.kernels.attributes import WINDOW, called, pool_window, read_attributes, window
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.graph import Graph, Node
from heldout.kernels.operators import (
    AddConstant,
    AddTensors,
    AveragePool,
    BatchNormalization,
    Convolution,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Operator,
    Relu,
    Reshape,
    Shape,
    Widths,
    default_widths,
)
from heldout.kernels.wire import check_description

MAX_GRAPH_BYTES = 1 << 26
MAX_NODES = 4096
MAX_AXES = 8
MAX_ELEMENTS = 1 << 28
"""Elements of a tensor of weights, or of what one row makes: 1 GiB of binary32."""
LEAST_OPSET = 17
SUPPORTED = (
    "Add AveragePool BatchNormalization Constant Conv Flatten Gemm GlobalAveragePool Identity MatMul MaxPool Relu "
    "Reshape and a last Softmax"
)


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
    try:
        return _Loader(model.graph, _read_widths(model)).load()
    except (TypeError, ValueError, IndexError, AttributeError) as problem:
        # ONNX leaves the number of inputs and the types of attributes unchecked.
        raise BadGraph(f"the graph has a node that is not as ONNX defines it: {problem}") from None


def _read_widths(model: onnx.ModelProto) -> dict[str, Widths]:
    text = next((entry.value for entry in model.metadata_props if entry.key == SCORER), "{}")
    try:
        return {name: Widths(int(activation), int(total)) for name, (activation, total) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadGraph(f"metadata {SCORER!r} must be JSON of the form {{node: [bits, bits]}}") from None


def _bounded(name: str, shape: Shape) -> Shape:
    """The shape itself. Raises BadGraph if it has too many elements."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise BadGraph(f"tensor {name!r} of shape {list(shape)} has more than {MAX_ELEMENTS} elements")
    return shape


class _Loader:
    """Reads one graph, node after node, knowing the shape of every tensor so far."""

    def __init__(self, graph: onnx.GraphProto, widths: dict[str, Widths]) -> None:
        self.graph = graph
        self.widths = widths
        self.weights: dict[str, Shape] = {}
        self.integers: dict[str, tuple[int, ...]] = {}
        self.shapes: dict[str, Shape] = {}
        self.aliases: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.softmax = False
        for tensor in graph.initializer:
            self._read_initialiser(tensor.name, tensor)
        self.input, self.rows = self._read_input()

    def load(self) -> Graph:
        for node in self.graph.node:
            self._read_node(node)
        if len(self.graph.output) != 1:
            raise BadGraph("the graph must have exactly one output")
        output = self._source(self.graph.output[0].name)
        shape = self.shapes[output]
        if len(shape) != 1 or not self.nodes or self.nodes[-1].output != output:
            raise BadGraph("the last node must give the output, of shape [rows, outputs]")
        return Graph(
            self.input, self.shapes[self.input], tuple(self.nodes), output, shape[0], dict(self.weights), self.softmax
        )

    def _read_initialiser(self, name: str, tensor: onnx.TensorProto) -> None:
        if name in self.weights or name in self.integers:
            raise BadGraph(f"{name!r} is defined twice")
        if len(tensor.dims) > MAX_AXES:
            raise BadGraph(f"initialiser {name!r} has {len(tensor.dims)} axes, at most {MAX_AXES} are read")
        if tensor.data_type == onnx.TensorProto.FLOAT:
            if not all(size > 0 for size in tensor.dims):
                raise BadGraph(f"initialiser {name!r} has an empty shape {list(tensor.dims)}")
            self.weights[name] = _bounded(name, tuple(tensor.dims))
        elif tensor.data_type == onnx.TensorProto.INT64 and not tensor.external_data and math.prod(tensor.dims) <= 16:
            self.integers[name] = tuple(int(value) for value in onnx.numpy_helper.to_array(tensor).ravel())
        else:
            raise Unsupported(f"initialiser {name!r} is neither float32 nor the int64 shape of a Reshape")

    def _read_input(self) -> tuple[str, int]:
        """The one input's name, and its number of rows if the file fixes one (else 0)."""
        inputs = [value for value in self.graph.input if value.name not in self.weights | self.integers]
        if len(inputs) != 1:
            raise BadGraph(f"the graph must have exactly one input that is no initialiser, not {len(inputs)}")
        tensor = inputs[0].type.tensor_type
        rows, *shape = [dimension.dim_value for dimension in tensor.shape.dim] or [0]
        if tensor.elem_type != onnx.TensorProto.FLOAT or not 0 < len(shape) <= 4 or not all(size > 0 for size in shape):
            raise BadGraph("the input must be float32 with rows first and every other size fixed")
        self.shapes[inputs[0].name] = _bounded(inputs[0].name, tuple(shape))
        return inputs[0].name, rows

    def _source(self, name: str) -> str:
        """The computed tensor a name stands for."""
        name = self.aliases.get(name, name)
        if name not in self.shapes:
            raise BadGraph(f"{name!r} is not a tensor computed before it is used")
        return name

    def _read_node(self, node: onnx.NodeProto) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operator {node.domain}.{node.op_type} is not defined; {SCORER} has {SUPPORTED}")
        if len(node.output) != 1 or node.output[0] in self.shapes.keys() | self.aliases.keys() | self.weights.keys():
            raise Unsupported(f"{called(node)} must have one output with a name of its own")
        if self.softmax:
            raise Unsupported("Softmax may only be the last node")
        match node.op_type:
            case "Constant":
                self._read_initialiser(node.output[0], read_attributes(node, value=onnx.TensorProto())["value"])
                if node.output[0] in self.weights:
                    raise Unsupported(f"{called(node)} is float32: make it an initialiser, so that it is submitted")
            case "Identity" | "Softmax":
                self._alias(node)
            case _:
                self._append(node, self._operator(node))

    def _alias(self, node: onnx.NodeProto) -> None:
        source = self._source(node.input[0])
        self.aliases[node.output[0]] = source
        self.softmax = node.op_type == "Softmax"
        defaults = {"axis": -1} if self.softmax else {}
        if read_attributes(node, **defaults).get("axis", -1) not in (-1, len(self.shapes[source])):
            raise Unsupported(f"{called(node)} must run over the last axis")

    def _append(self, node: onnx.NodeProto, operator: Operator) -> None:
        inputs = tuple(self._source(name) for name in node.input if name and self._is_computed(name))
        if not inputs:
            raise BadGraph(f"{called(node)} reads no computed tensor")
        sizes = [self.shapes[name] for name in inputs]
        try:
            shape = operator.output(*sizes)
        except BadGraph as problem:
            raise BadGraph(f"{called(node)}: {problem.message}") from None
        self.shapes[node.output[0]] = _bounded(node.output[0], shape)
        self.nodes.append(
            Node(node.name or node.output[0], operator, inputs, node.output[0], shape, operator.operations(sizes[0]))
        )

    def _is_computed(self, name: str) -> bool:
        return name not in self.weights and name not in self.integers

    def _operator(self, node: onnx.NodeProto) -> Operator:
        size = self.shapes[self._source(node.input[0])] if node.input and self._is_computed(node.input[0]) else ()
        match node.op_type:
            case "Relu":
                read_attributes(node)
                return Relu()
            case "GlobalAveragePool":
                read_attributes(node)
                return GlobalAveragePool()
            case "Gemm":
                return self._gemm(node)
            case "MatMul":
                read_attributes(node)
                return self._linear(node, node.input[0], node.input[1], None, transposed=False)
            case "Conv":
                return self._convolution(node, size)
            case "MaxPool":
                return self._max_pool(node, size)
            case "AveragePool":
                return self._average_pool(node, size)
            case "BatchNormalization":
                return self._normalization(node)
            case "Add":
                return self._add(node)
            case "Flatten" | "Reshape":
                return self._reshape(node, size)
        raise Unsupported(f"operator {called(node)} is not defined; {SCORER} has {SUPPORTED}")

    # ------------------------------------------------------------------------------------------ one operator each

    def _gemm(self, node: onnx.NodeProto) -> Linear:
        attributes = read_attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
        if (attributes["alpha"], attributes["beta"], attributes["transA"]) != (1.0, 1.0, 0):
            raise Unsupported(f"{called(node)} must have alpha 1, beta 1 and transA 0")
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        return self._linear(node, node.input[0], node.input[1], bias, transposed=bool(attributes["transB"]))

    def _linear(self, node: onnx.NodeProto, left: str, right: str, bias: str | None, *, transposed: bool) -> Linear:
        if not self._is_computed(left) or right not in self.weights or len(self.weights[right]) != 2:
            raise Unsupported(f"{called(node)} must multiply a computed tensor by a matrix among the initialisers")
        terms, outputs = self.weights[right][::-1] if transposed else self.weights[right]
        self._check_bias(node, bias, outputs)
        return Linear(right, bias, transposed, terms, outputs, self._widths(node, terms))

    def _convolution(self, node: onnx.NodeProto, size: Shape) -> Convolution:
        attributes = read_attributes(node, group=1, kernel_shape=None, **WINDOW)
        shape = self.weights.get(node.input[1], ())
        if len(shape) != 4 or len(size) != 3:
            raise Unsupported(f"{called(node)} must run over height and width, with weights among the initialisers")
        outputs, channels, *kernel = shape
        groups = attributes["group"]
        if groups < 1 or outputs % groups or list(attributes["kernel_shape"] or kernel) != kernel:
            raise BadGraph(f"{called(node)}: groups or kernel_shape do not fit weights of shape {list(shape)}")
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        self._check_bias(node, bias, outputs)
        place = window(node, kernel, attributes, size)
        widths = self._widths(node, channels * math.prod(kernel))
        return Convolution(node.input[1], bias, place, groups, channels * groups, outputs, widths)

    def _max_pool(self, node: onnx.NodeProto, size: Shape) -> MaxPool:
        attributes = read_attributes(node, kernel_shape=None, ceil_mode=0, storage_order=0, **WINDOW)
        return MaxPool(pool_window(node, attributes, size))

    def _average_pool(self, node: onnx.NodeProto, size: Shape) -> AveragePool:
        attributes = read_attributes(node, kernel_shape=None, ceil_mode=0, count_include_pad=0, **WINDOW)
        return AveragePool(pool_window(node, attributes, size), bool(attributes["count_include_pad"]))

    def _normalization(self, node: onnx.NodeProto) -> BatchNormalization:
        attributes = read_attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0)
        shapes = [self.weights.get(name, ()) for name in node.input[1:]]
        if attributes["training_mode"] or len(shapes) != 4 or len(shapes[0]) != 1 or len(set(shapes)) != 1:
            raise Unsupported(f"{called(node)} must be for inference, with four vectors among the initialisers")
        if not 0 <= attributes["epsilon"] < 1:
            raise BadGraph(f"{called(node)} has an epsilon outside [0, 1)")
        scale, bias, mean, variance = node.input[1:]
        return BatchNormalization(scale, bias, mean, variance, attributes["epsilon"], shapes[0][0])

    def _add(self, node: onnx.NodeProto) -> AddConstant | AddTensors:
        read_attributes(node)
        constants = [name for name in node.input if name in self.weights]
        if not constants:
            return AddTensors()
        # A leading size of 1 is the batch's place in a broadcast, and not part of a row.
        shape = self.weights[constants[0]]
        rank = max((len(self.shapes[self._source(name)]) for name in node.input if self._is_computed(name)), default=0)
        return AddConstant(constants[0], shape[1:] if len(shape) == rank + 1 and shape[0] == 1 else shape)

    def _reshape(self, node: onnx.NodeProto, size: Shape) -> Reshape:
        if node.op_type == "Flatten":
            if read_attributes(node, axis=1)["axis"] not in (1, -len(size)):
                raise Unsupported(f"{called(node)} must have axis 1, which keeps the rows")
            return Reshape((math.prod(size),))
        if read_attributes(node, allowzero=0)["allowzero"] or node.input[1] not in self.integers:
            raise Unsupported(f"{called(node)} must have allowzero 0 and a constant shape")
        rows, *target = self.integers[node.input[1]] or (1,)
        if rows not in (0, self.rows or -1) and not (rows == -1 and -1 not in target):
            raise Unsupported(f"{called(node)} must keep the rows first: begin its shape with 0 or -1")
        target = [size[place] if value == 0 and place < len(size) else value for place, value in enumerate(target)]
        known = math.prod(value for value in target if value != -1)
        if target.count(-1) > 1 or known < 1 or any(value < -1 for value in target):
            raise BadGraph(f"{called(node)} has a shape that says nothing: {list(target)}")
        return Reshape(tuple(math.prod(size) // known if value == -1 else value for value in target))

    def _widths(self, node: onnx.NodeProto, terms: int) -> Widths:
        return self.widths.get(node.name) or self.widths.get("*") or default_widths(terms)

    def _check_bias(self, node: onnx.NodeProto, bias: str | None, outputs: int) -> None:
        if bias is not None and self.weights.get(bias) not in ((outputs,), (1, outputs)):
            raise Unsupported(f"{called(node)} must have a bias of {outputs} values among the initialisers")
