"""What an ONNX graph computes from constants alone: shapes, masks and scales, as exporters write them out (P9.1).

Values here are NumPy arrays the requester fixed. Only operators whose result is exact, or rounded once by IEEE 754, are
folded, and none whose result would be large.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from heldout.kernels.attributes import called, read_attributes
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.windows import Shape

Value = NDArray[Any]
MAX_AXES = 8
MOST_ELEMENTS = 1 << 22
"""Of one folded constant."""
_TYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.BOOL: np.bool_,
}

_PLAIN: dict[str, Callable[..., Value]] = {
    "Add": np.add,
    "And": np.logical_and,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": np.array,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}


def read_tensor(tensor: onnx.TensorProto, what: str) -> Value:
    """The values of a tensor in the file, of a type that is folded. Raises Unsupported, or BadGraph if they are cut."""
    if tensor.data_type not in _TYPES or tensor.external_data:
        raise Unsupported(f"{what} is neither float32, int64, int32 nor bool, or lies in another file")
    if math.prod(tensor.dims) > MOST_ELEMENTS:
        raise BadGraph(f"{what} has more than {MOST_ELEMENTS} values")
    return np.asarray(onnx.numpy_helper.to_array(tensor))


def fold(node: onnx.NodeProto, inputs: Sequence[Value]) -> Value:
    """The node's one output. Raises Unsupported naming the node if it is not one that is folded."""
    if (plain := _PLAIN.get(node.op_type)) is not None:
        read_attributes(node)
        _check(node, np.broadcast_shapes(*(value.shape for value in inputs)))
        with np.errstate(all="ignore"):
            return np.asarray(plain(*inputs))
    special = _SPECIAL.get(node.op_type)
    if special is None:
        raise Unsupported(f"{called(node)} is not computed from constants")
    return special(node, list(inputs))


def axes_of(node: onnx.NodeProto, value: Value) -> list[int]:
    """A list of axes, or of what is given for each. Raises BadGraph for more than a tensor has: each node that reads
    the list goes through it, and a file has room for a list of millions."""
    if value.size > MAX_AXES:
        raise BadGraph(f"{called(node)} names {value.size} axes: a tensor has at most {MAX_AXES}")
    found: list[int] = value.ravel().tolist()
    return found


def fixed_slices(inputs: Sequence[Sequence[int]], size: Shape) -> tuple[slice, ...]:
    """One slice for each axis, from starts, ends, axes and steps as ONNX gives them; Python cuts them off alike."""
    starts, ends = inputs[:2]
    axes = inputs[2] if len(inputs) > 2 and inputs[2] else range(len(starts))
    steps = inputs[3] if len(inputs) > 3 else [1] * len(starts)
    ranges = [slice(None)] * len(size)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        ranges[axis] = slice(start, end, step)
    return tuple(ranges)


def fixed_shape(target: Sequence[int], size: Shape, *, zeros: bool) -> Shape:
    """What Reshape makes of `target`: -1 is what is left, 0 the size at its place unless `zeros` are meant."""
    shape = [size[place] if value == 0 and not zeros else value for place, value in enumerate(target)]
    known = math.prod(value for value in shape if value != -1)
    if shape.count(-1) > 1 or min(shape, default=1) < -1 or (-1 in shape and known < 1):
        raise BadGraph(f"a shape that says nothing: {list(target)}")
    return tuple(math.prod(size) // known if value == -1 else value for value in shape)


def _check(node: onnx.NodeProto, shape: Sequence[int]) -> tuple[int, ...]:
    if any(size < 0 for size in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise BadGraph(f"{called(node)} makes a constant of shape {list(shape)}")
    return tuple(shape)


def _divide(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    left, right = inputs
    _check(node, np.broadcast_shapes(left.shape, right.shape))
    if left.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return np.asarray(left / right)
    if not right.all():
        raise BadGraph(f"{called(node)} divides by zero")
    quotient = np.abs(left) // np.abs(right)  # ONNX rounds towards zero
    return np.where((left < 0) != (right < 0), -quotient, quotient)


def _cast(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    kind = _TYPES.get(read_attributes(node, to=None, saturate=1)["to"])
    if kind is None:
        raise Unsupported(f"{called(node)} casts to a type that is not folded")
    return inputs[0].astype(kind)


def _concat(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    axis = read_attributes(node, axis=0)["axis"]
    _check(node, [sum(value.size for value in inputs)])
    return np.concatenate(inputs, axis=axis)


def _constant_of_shape(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    value = read_attributes(node, value=None)["value"]
    fill = np.zeros(1, np.float32) if value is None else read_tensor(value, called(node)).ravel()[:1]
    return np.broadcast_to(fill, _check(node, inputs[0].ravel().tolist())).copy()


def _expand(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].ravel().tolist()))
    return np.broadcast_to(inputs[0], _check(node, shape)).copy()


def _gather(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    axis = read_attributes(node, axis=0)["axis"]
    _check(node, [inputs[0].size // max(inputs[0].shape[axis], 1) * inputs[1].size])
    return np.take(inputs[0], inputs[1], axis=axis)


def _modulo(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    left, right = inputs
    _check(node, np.broadcast_shapes(left.shape, right.shape))
    if read_attributes(node, fmod=0)["fmod"] or left.dtype.kind != "i" or not right.all():
        raise BadGraph(f"{called(node)} is no remainder of whole numbers")
    return np.asarray(np.mod(left, right))


def _range(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    start, limit, step = (value.item() for value in inputs)
    count = max(0, math.ceil((limit - start) / step)) if step else -1
    return np.asarray(start + np.arange(_check(node, [count])[0]) * step, inputs[0].dtype)


def _reshape(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    zeros = bool(read_attributes(node, allowzero=0)["allowzero"])
    return inputs[0].reshape(fixed_shape(inputs[1].ravel().tolist(), inputs[0].shape, zeros=zeros))


def _slice(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    return np.asarray(inputs[0][fixed_slices([axes_of(node, value) for value in inputs[1:]], inputs[0].shape)])


def _squeeze(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    return np.squeeze(inputs[0], tuple(inputs[1].ravel().tolist()) if len(inputs) > 1 else None)


def _transpose(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    return inputs[0].transpose(read_attributes(node, perm=None)["perm"])


def _triangle(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    keep = np.triu if read_attributes(node, upper=1)["upper"] else np.tril
    return keep(inputs[0], int(inputs[1].item()) if len(inputs) > 1 else 0)


def _unsqueeze(node: onnx.NodeProto, inputs: list[Value]) -> Value:
    return np.expand_dims(inputs[0], tuple(inputs[1].ravel().tolist()))


_SPECIAL: dict[str, Callable[[onnx.NodeProto, list[Value]], Value]] = {
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Expand": _expand,
    "Gather": _gather,
    "Mod": _modulo,
    "Range": _range,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
FOLDED = frozenset(_PLAIN) | frozenset(_SPECIAL)
