"""ONNX nodes that move values, embeddings, and recurrent layers with the order they give their states in."""

import math

import numpy as np
import onnx

from heldout.kernels.attributes import called, read_attributes
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.folding import Value, fixed_shape, fixed_slices
from heldout.kernels.graph import Move
from heldout.kernels.moves import Concat, Expand, Reshape, Slice, Take, Transpose
from heldout.kernels.operators import Embedding, Recurrent
from heldout.kernels.reading import Reader, axis_of, optional, parameter, required
from heldout.kernels.scope import Scope
from heldout.kernels.windows import Shape


def _move(scope: Scope, node: onnx.NodeProto, operator: Move, *inputs: str, output: str | None = None) -> None:
    whole = [scope.is_whole(name) for name in inputs]
    if any(whole) and not all(whole):
        raise Unsupported(f"{called(node)} joins whole numbers of the input with others")
    output = scope.add(node, operator, *inputs, output=output)
    if any(whole):
        scope.whole.add(output)


def _reshape(scope: Scope, node: onnx.NodeProto) -> None:
    zeros = bool(read_attributes(node, allowzero=0)["allowzero"])
    target = scope.axes(node, 1)
    _move(scope, node, Reshape(fixed_shape(target, scope.shape(node.input[0]), zeros=zeros)), node.input[0])


def _flatten(scope: Scope, node: onnx.NodeProto) -> None:
    size = scope.shape(node.input[0])
    axis = read_attributes(node, axis=1)["axis"]
    axis = axis if axis == len(size) else axis_of(axis, size)
    _move(scope, node, Reshape((math.prod(size[:axis]), math.prod(size[axis:]))), node.input[0])


def _squeeze(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    size = scope.shape(node.input[0])
    if optional(node, 1):
        axes = {axis_of(axis, size) for axis in scope.axes(node, 1)}
    else:
        axes = {axis for axis in range(1, len(size)) if size[axis] == 1}
    _move(scope, node, Reshape(tuple(n for axis, n in enumerate(size) if axis not in axes)), node.input[0])


def _unsqueeze(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    shape = np.expand_dims(np.empty(scope.shape(node.input[0]), np.bool_), tuple(scope.axes(node, 1))).shape
    _move(scope, node, Reshape(shape), node.input[0])


def _transpose(scope: Scope, node: onnx.NodeProto) -> None:
    size = scope.shape(node.input[0])
    order = read_attributes(node, perm=tuple(range(len(size)))[::-1])["perm"]
    _move(scope, node, Transpose(tuple(order)), node.input[0])


def _slice(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    size = scope.shape(node.input[0])
    chosen = fixed_slices([scope.axes(node, place) for place in range(1, len(node.input))], size)
    if any((each.step or 1) < 1 for each in chosen):
        raise Unsupported(f"{called(node)} runs backwards")
    ranges = tuple(each.indices(length) for each, length in zip(chosen, size, strict=True))
    _move(scope, node, Slice(ranges), node.input[0])


def _split(scope: Scope, node: onnx.NodeProto) -> None:
    attributes = read_attributes(node, axis=0, num_outputs=len(node.output))
    size = scope.shape(node.input[0])
    axis = axis_of(attributes["axis"], size)
    part = -(-size[axis] // len(node.output))
    sizes = scope.value(node, 1).ravel().tolist() if optional(node, 1) else [part] * (len(node.output) - 1)
    sizes = [*sizes, size[axis] - sum(sizes)] if len(sizes) < len(node.output) else sizes
    if sum(sizes) != size[axis] or len(sizes) != len(node.output) or min(sizes) < 1:
        raise BadGraph(f"{called(node)} does not split {list(size)} into {sizes}")
    begin = 0
    for output, length in zip(node.output, sizes, strict=True):
        ranges = [(0, n, 1) for n in size]
        ranges[axis] = (begin, begin + length, 1)
        _move(scope, node, Slice(tuple(ranges)), node.input[0], output=output)
        begin += length


def _concat(scope: Scope, node: onnx.NodeProto) -> None:
    axis = axis_of(read_attributes(node, axis=0)["axis"], scope.shape(node.input[0]))
    _move(scope, node, Concat(axis), *node.input)


def _expand(scope: Scope, node: onnx.NodeProto) -> None:
    read_attributes(node)
    _move(scope, node, Expand(tuple(scope.axes(node, 1))), node.input[0])


def _gather(scope: Scope, node: onnx.NodeProto) -> None:
    size = scope.shape(node.input[0])
    axis = axis_of(read_attributes(node, axis=0)["axis"], size)
    if scope.is_whole(node.input[1]):
        if axis or len(size) != 2:
            raise Unsupported(f"{called(node)} must take rows of a matrix of weights")
        scope.add(node, Embedding(required(scope, node, 0), size[0], size[1]), node.input[1])
        return
    _take(scope, node, axis, scope.value(node, 1))


def _gather_nd(scope: Scope, node: onnx.NodeProto) -> None:
    """What torch makes of `x[:, [0, 2, 5]]`, once the axis is brought to the front."""
    indices = scope.value(node, 1)
    if read_attributes(node, batch_dims=0)["batch_dims"] or not indices.ndim or indices.shape[-1] != 1:
        raise Unsupported(f"{called(node)} must take places along the first axis")
    _take(scope, node, 0, indices[..., 0])


def _take(scope: Scope, node: onnx.NodeProto, axis: int, indices: Value) -> None:
    size = scope.shape(node.input[0])
    scope.spend(indices.size)
    if indices.dtype.kind != "i" or not ((-size[axis] <= indices) & (indices < size[axis])).all():
        raise BadGraph(f"{called(node)} takes places that are not in {list(size)}")
    places = tuple((indices % size[axis]).ravel().tolist())
    _move(scope, node, Take(axis, places, indices.shape), node.input[0])


# -------------------------------------------------------------------------------------------------------- recurrent


def _recurrent(scope: Scope, node: onnx.NodeProto) -> None:
    defaults = {"hidden_size": 0, "direction": b"forward", "layout": 0, "input_forget": 0, "linear_before_reset": 0}
    attributes = read_attributes(node, **defaults)
    gru = node.op_type == "GRU"
    if attributes["layout"] or attributes["input_forget"] or (gru and not attributes["linear_before_reset"]):
        raise Unsupported(f"{called(node)} must have layout 0, input_forget 0 and, if a GRU, linear_before_reset 1")
    if optional(node, 4) or optional(node, 7):
        raise Unsupported(f"{called(node)} may have neither lengths of sequences nor peepholes")
    reverse = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    directions = reverse.get(attributes["direction"].decode())
    if directions is None or len(scope.shape(node.input[1])) != 3:
        raise BadGraph(f"{called(node)} has a direction, or weights, that ONNX does not define")
    hidden, terms, count = attributes["hidden_size"], scope.shape(node.input[1])[2], len(directions)
    rows = (3 if gru else 4) * hidden
    given = {state: name for state, place in (("h", 5), ("c", 6)) if (name := optional(node, place))}
    operator = Recurrent(
        node.op_type,
        required(scope, node, 1, (count, rows, terms)),
        required(scope, node, 2, (count, rows, hidden)),
        parameter(scope, node, optional(node, 3), (count, 2 * rows)),
        hidden,
        terms,
        directions,
        tuple(given),
        scope.widths(node, terms),
        scope.widths(node, hidden),
    )
    every = scope.add(node, operator, node.input[0], *given.values(), output=node.output[0] or f"{node.output[1]}:all")
    if len(node.output) > 1 and node.output[1]:
        _last_states(scope, node, every, directions)


def _last_states(scope: Scope, node: onnx.NodeProto, every: str, reverse: tuple[bool, ...]) -> None:
    """The hidden state after the whole sequence: for a direction that runs backwards, the one at its first place."""
    sequence, count, *rest = scope.shapes[every]
    parts = []
    for direction, backwards in enumerate(reverse):
        place = 0 if backwards else sequence - 1
        ranges = ((place, place + 1, 1), (direction, direction + 1, 1), *((0, n, 1) for n in rest))
        parts.append(scope.add(node, Slice(ranges), every, output=f"{node.output[1]}:{direction}"))
    joined = parts[0] if count == 1 else scope.add(node, Concat(1), *parts, output=f"{node.output[1]}:joined")
    shape: Shape = (count, *rest)
    scope.add(node, Reshape(shape), joined, output=node.output[1])


MOVING: dict[str, Reader] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "LSTM": _recurrent,
    "GRU": _recurrent,
}
