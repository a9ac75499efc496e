"""ONNX nodes that compute: each becomes one record of `operators`, or is refused by name."""

import math
from collections.abc import Callable
from typing import Any

import onnx

from heldout.kernels.attributes import WINDOW, called, pool_window, read_attributes, window
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.moves import Reshape
from heldout.kernels.operators import (
    MOST_NORMALIZED,
    SPAN,
    Arithmetic,
    AveragePool,
    BatchNormalization,
    Convolution,
    LayerNormalization,
    Linear,
    MatMul,
    MaxPool,
    Mean,
    Pointwise,
    Select,
    Softmax,
)
from heldout.kernels.scope import Scope
from heldout.kernels.windows import Shape

Reader = Callable[[Scope, onnx.NodeProto], None]


def optional(node: onnx.NodeProto, place: int) -> str | None:
    """The name of an input that may be left out."""
    return (node.input[place] or None) if len(node.input) > place else None


def parameter(scope: Scope, node: onnx.NodeProto, name: str | None, *shapes: Shape) -> str | None:
    """A tensor of weights, of one of these shapes if any are given. Raises Unsupported."""
    if name is None:
        return None
    if not scope.is_static(name) or (shapes and scope.shape(name) not in shapes):
        wanted = f" of shape {' or '.join(str(list(shape)) for shape in shapes)}" if shapes else ""
        raise Unsupported(f"{called(node)} must have {name!r} among its weights{wanted}")
    return scope.tensor(name)


def required(scope: Scope, node: onnx.NodeProto, place: int, *shapes: Shape) -> str:
    """The same for an input that may not be left out."""
    name = parameter(scope, node, node.input[place], *shapes)
    assert name is not None
    return name


def axis_of(value: int, size: Shape) -> int:
    if not -len(size) <= value < len(size):
        raise BadGraph(f"axis {value} is not one of {list(size)}")
    return value % len(size)


# ------------------------------------------------------------------------------------------------------------- sums


def _gemm(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if (attributes["alpha"], attributes["beta"], attributes["transA"]) != (1.0, 1.0, 0):
        raise Unsupported(f"{called(node)} must have alpha 1, beta 1 and transA 0")
    if len(scope.shape(node.input[0])) != 2:
        raise BadGraph(f"{called(node)} must read a matrix")
    _linear(scope, node, optional(node, 2), transposed=bool(attributes["transB"]))


def _matmul(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    left, right = node.input
    if scope.is_static(right) and len(scope.shape(right)) == 2 and not scope.is_static(left):
        _linear(scope, node, None, transposed=False)
    else:
        _refuse_whole(scope, node)
        scope.add(node, MatMul(), left, right)


def _linear(scope: Scope, node: onnx.NodeProto, bias: str | None, *, transposed: bool) -> None:
    if len(scope.shape(node.input[1])) != 2:
        raise Unsupported(f"{called(node)} must multiply by a matrix of weights")
    weight = required(scope, node, 1)
    terms, outputs = scope.shapes[weight][::-1] if transposed else scope.shapes[weight]
    added = parameter(scope, node, bias, (outputs,), (1, outputs))
    _refuse_whole(scope, node)
    scope.add(node, Linear(weight, added, transposed, terms, outputs, scope.widths(node, terms)), node.input[0])


def _convolution(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, group=1, kernel_shape=None, **WINDOW)
    _over_plane(scope, node, attributes)


def _over_plane(scope: Scope, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
    """A convolution over height and width; one over a single axis is the same with a height of 1."""
    weight, source = required(scope, node, 1), scope.tensor(node.input[0])
    shape, size = scope.shapes[weight], scope.shapes[source]
    if len(shape) == len(size) == 3:
        weight = scope.add(node, Reshape((*shape[:2], 1, shape[2])), weight, output=f"{node.output[0]}:weight")
        source = _as_plane(scope, node, source)
        attributes = _plane_attributes(attributes)
    if len(scope.shapes[weight]) != 4 or len(scope.shapes[source]) != 4:
        raise Unsupported(f"{called(node)} must run over one axis or two")
    outputs, channels, *kernel = scope.shapes[weight]
    groups = attributes["group"]
    if groups < 1 or outputs % groups or list(attributes["kernel_shape"] or kernel) != kernel:
        raise BadGraph(f"{called(node)}: groups or kernel_shape do not fit weights of shape {list(shape)}")
    place = window(node, kernel, attributes, scope.shapes[source])
    if place.cells > SPAN:
        raise Unsupported(f"{called(node)} has a window of more than {SPAN} cells")
    bias = parameter(scope, node, optional(node, 2), (outputs,))
    widths = scope.widths(node, channels * place.cells)
    operator = Convolution(weight, bias, place, groups, channels * groups, outputs, widths)
    _add_plane(scope, node, operator, source, len(size))


def _as_plane(scope: Scope, node: onnx.NodeProto, source: str) -> str:
    size = scope.shapes[source]
    return scope.add(node, Reshape((*size[:2], 1, size[2])), source, output=f"{node.output[0]}:plane")


def _plane_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Of one axis, as for two."""
    grown = dict(attributes)
    for name in ("kernel_shape", "strides", "dilations"):
        if attributes.get(name) is not None and len(attributes[name]) == 1:
            grown[name] = (1, *attributes[name])
    if len(attributes["pads"]) == 2:
        grown["pads"] = (0, attributes["pads"][0], 0, attributes["pads"][1])
    if tuple(attributes["pads"]) == (0, 0, 0, 0):
        grown["pads"] = (0, 0, 0, 0)
    return grown


def _add_plane(
    scope: Scope, node: onnx.NodeProto, operator: Convolution | MaxPool | AveragePool, source: str, axes: int
) -> None:
    if axes == 4:
        scope.add(node, operator, source)
        return
    plane = scope.add(node, operator, source, output=f"{node.output[0]}:result")
    batch, channels, _, width = scope.shapes[plane]
    scope.add(node, Reshape((batch, channels, width)), plane)


# ------------------------------------------------------------------------------------------- pools, means and norms


def _pool(scope: Scope, node: onnx.NodeProto) -> None:
    average = node.op_type == "AveragePool"
    extra: dict[str, Any] = {"count_include_pad": 0} if average else {"storage_order": 0}
    attributes = read_attributes(node, kernel_shape=(), ceil_mode=0, **extra, **WINDOW)
    source = scope.tensor(node.input[0])
    axes = len(scope.shapes[source])
    if axes == 3:
        source, attributes = _as_plane(scope, node, source), _plane_attributes(attributes)
    place = pool_window(node, attributes, scope.shapes[source])
    operator = AveragePool(place, bool(attributes["count_include_pad"])) if average else MaxPool(place)
    _add_plane(scope, node, operator, source, axes)


def _global_average(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    size = scope.shape(node.input[0])
    if len(size) < 3:
        raise BadGraph(f"{called(node)} cannot follow a shape of {list(size)}")
    scope.add(node, Mean(tuple(range(2, len(size))), keep=True), node.input[0])


def _reduce_mean(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, axes=None, keepdims=1, noop_with_empty_axes=0)
    size = scope.shape(node.input[0])
    given = scope.axes(node, 1) if optional(node, 1) else attributes["axes"]
    if not given and attributes["noop_with_empty_axes"]:
        raise Unsupported(f"{called(node)} must name its axes")
    axes = sorted({axis_of(axis, size) for axis in given or range(len(size))})
    scope.add(node, Mean(tuple(axes), bool(attributes["keepdims"])), node.input[0])


def _batch_normalization(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0)
    if attributes["training_mode"]:
        raise Unsupported(f"{called(node)} must be for inference")
    _check_epsilon(node, attributes["epsilon"])
    channels = scope.shape(node.input[1])
    if len(channels) != 1:
        raise BadGraph(f"{called(node)} must have vectors for its scale, shift, mean and variance")
    scale, bias, mean, variance = (required(scope, node, place, channels) for place in (1, 2, 3, 4))
    operator = BatchNormalization(scale, bias, mean, variance, attributes["epsilon"], channels[0])
    scope.add(node, operator, node.input[0])


def _layer_normalization(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, axis=-1, epsilon=1e-5, stash_type=1)
    _check_epsilon(node, attributes["epsilon"])
    size = scope.shape(node.input[0])
    tail = size[axis_of(attributes["axis"], size) :]
    if math.prod(tail) > MOST_NORMALIZED:
        raise Unsupported(f"{called(node)} spans {math.prod(tail)} values: at most {MOST_NORMALIZED} are defined")
    scale, bias = required(scope, node, 1, tail), parameter(scope, node, optional(node, 2), tail)
    operator = LayerNormalization(scale, bias, math.prod(tail), attributes["epsilon"])
    scope.add(node, operator, node.input[0])


def _check_epsilon(node: onnx.NodeProto, epsilon: float) -> None:
    if not 0 <= epsilon < 1:
        raise BadGraph(f"{called(node)} has an epsilon outside [0, 1)")


def _softmax(scope: Scope, node: onnx.NodeProto) -> None:
    check_softmax_axis(scope, node)
    scope.add(node, Softmax(log=node.op_type == "LogSoftmax"), node.input[0])


def check_softmax_axis(scope: Scope, node: onnx.NodeProto) -> None:
    size = scope.shape(node.input[0])
    if axis_of(read_attributes(node, axis=-1)["axis"], size) != len(size) - 1:
        raise Unsupported(f"{called(node)} must run over the last axis")


# ------------------------------------------------------------------------------------------------------ elementwise

_POINTWISE = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf", "Neg": "neg", "Sqrt": "sqrt"}
_ARITHMETIC = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}


def _pointwise(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    _refuse_whole(scope, node)
    scope.add(node, Pointwise(_POINTWISE[node.op_type]), node.input[0])


def _leaky_relu(scope: Scope, node: onnx.NodeProto) -> None:
    slope = read_attributes(node, alpha=0.01)["alpha"]
    if not 0 <= slope <= 1:
        raise Unsupported(f"{called(node)} must have a slope in [0, 1]")
    scope.add(node, Pointwise("leaky_relu", slope), node.input[0])


def _gelu(scope: Scope, node: onnx.NodeProto) -> None:
    kind = read_attributes(node, approximate=b"none")["approximate"].decode()
    if kind not in ("none", "tanh"):
        raise Unsupported(f"{called(node)} has approximation {kind!r}")
    scope.add(node, Pointwise("gelu" if kind == "none" else "gelu_tanh"), node.input[0])


def _arithmetic(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    _refuse_whole(scope, node)
    left, right = node.input
    scope.add(node, Arithmetic(_ARITHMETIC[node.op_type]), left, right)


def _power(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    exponent = scope.value(node, 1)
    if exponent.size != 1 or exponent.item() not in (3, 2, 0.5):
        raise Unsupported(f"{called(node)} must have the exponent 2, 3 or 0.5")
    base = node.input[0]
    if exponent.item() == 0.5:
        scope.add(node, Pointwise("sqrt"), base)
    elif exponent.item() == 2:
        scope.add(node, Arithmetic("multiply"), base, base)
    else:
        square = scope.add(node, Arithmetic("multiply"), base, base, output=f"{node.output[0]}:square")
        scope.add(node, Arithmetic("multiply"), square, base)


def _where(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    condition = scope.condition(node)
    scope.add(node, Select(condition, scope.shape(condition)), node.input[1], node.input[2])


def _refuse_whole(scope: Scope, node: onnx.NodeProto) -> None:
    for name in node.input:
        if scope.is_whole(name):
            raise Unsupported(f"{called(node)} computes with whole numbers of the input; only Gather may")


COMPUTING: dict[str, Reader] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _convolution,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    **dict.fromkeys(_POINTWISE, _pointwise),
    "LeakyRelu": _leaky_relu,
    "Gelu": _gelu,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    "Pow": _power,
    "Where": _where,
}
