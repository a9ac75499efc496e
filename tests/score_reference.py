"""`score-v1` a second time, as docs/score-v1.md states it: slow, one row at a time, in rational numbers alone.

It shares the graph reader with the scorer and nothing else. Rounding happens where the page says so, through `binary`;
tables are read as bytes. Tensors are flat lists of fractions with ONNX's shape for a batch of one row.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np

from heldout.kernels.graph import Graph, Node
from heldout.kernels.moves import Concat, Expand, Reshape, Slice, Take, Transpose
from heldout.kernels.operators import (
    Arithmetic,
    AveragePool,
    BatchNormalization,
    Convolution,
    Embedding,
    LayerNormalization,
    Linear,
    MatMul,
    MaxPool,
    Mean,
    Pointwise,
    Recurrent,
    Select,
    Softmax,
    Widths,
)
from heldout.kernels.windows import Shape, Window

Values = list[Fraction]
Index = tuple[int, ...]
FUNCTIONS = Path(__file__).resolve().parents[1] / "kernels" / "functions"
SCALES = {"sigmoid": 2048, "tanh": 4096, "erf": 8192, "gelu": 4096, "gelu_tanh": 4096, "exp": 2048}


@dataclass(frozen=True)
class Tensor:
    values: list[Any]
    shape: Shape

    def at(self, index: Index) -> Any:
        """The value at an index that may have more axes, and larger ones where this has size 1: broadcasting."""
        place = 0
        for size, i in zip(self.shape, index[len(index) - len(self.shape) :], strict=True):
            place = place * size + (i if size > 1 else 0)
        return self.values[place]

    def vectors(self, length: int | None = None) -> Iterator[list[Any]]:
        """Its values in runs of `length`, by default the last axis."""
        length = length or self.shape[-1]
        for begin in range(0, len(self.values), length):
            yield self.values[begin : begin + length]

    @staticmethod
    def of(array: np.ndarray) -> "Tensor":
        whole = array.dtype.kind in "ib"
        return Tensor([int(v) if whole else Fraction(float(v)) for v in array.ravel()], array.shape)


def outputs(graph: Graph, weights: Mapping[str, np.ndarray], row: np.ndarray) -> np.ndarray:
    """The outputs of one row, float32 [outputs]."""
    known = {name: Tensor.of(value) for name, value in {**graph.constants, **weights}.items()}
    known[graph.input] = Tensor.of(row[None])
    for node in graph.prepared + graph.nodes:
        inputs = [known[name] for name in node.inputs]
        known[node.output] = Tensor(_apply(node, known, inputs), node.shape)
    return np.array([float(value) for value in known[graph.output].values], np.float32)


# ------------------------------------------------------------------------------------------------------- roundings


def binary(value: Fraction, digits: int, least: int = -149) -> Fraction:
    """`value` with `digits` significant binary digits, none below 2**least, to nearest, ties to even."""
    if not value:
        return value
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    step = Fraction(2) ** max(exponent - digits + 1, least)
    return round(value / step) * step  # Python rounds a Fraction to the even neighbour


def single(value: Fraction) -> Fraction:
    return binary(value, 24)


def double(value: Fraction) -> Fraction:
    return binary(value, 53, -1074)


def finest_grid(weights: Values, widths: Widths, most: int) -> int:
    """The largest k <= 40 at which no span of |round(w * 2**k)| sums to more than the budget."""
    budget = 2 ** (widths.total - widths.activation)
    k = 40
    while any(
        sum(abs(round(w * Fraction(2) ** k)) for w in weights[begin : begin + most]) > budget
        for begin in range(0, len(weights), most)
    ):
        k -= 1
    return k


def on_grid(vector: Values, bits: int) -> Values:
    peak, exponent = max(abs(value) for value in vector), -52
    while peak > Fraction(2) ** exponent:
        exponent += 1
    step = Fraction(2) ** (exponent - bits)
    return [round(value / step) * step for value in vector]


def _on_weight_grid(weights: Values, widths: Widths, most: int) -> Values:
    step = Fraction(2) ** -finest_grid(weights, widths, most)
    return [round(weight / step) * step for weight in weights]


def square_root(value: Fraction) -> Fraction:
    """Correctly rounded to binary64: 200 digits more than needed, and a last digit that says whether it is exact."""
    scaled = value * Fraction(4) ** 400
    whole = isqrt(scaled.numerator // scaled.denominator)
    inexact = whole * whole != scaled
    return double(Fraction(2 * whole + inexact, 2) / Fraction(2) ** 400)


@cache
def _table(name: str) -> tuple[float, ...]:
    data = (FUNCTIONS / f"{name}.f32").read_bytes()
    return struct.unpack(f"<{len(data) // 4}f", data)


def look_up(name: str, value: Fraction) -> Fraction:
    offset = 0 if name == "exp" else 32768
    place = min(max(round(value * SCALES[name]) + offset, 0), 65535)
    return Fraction(_table(name)[place])


# ------------------------------------------------------------------------------------------------------- operators


def _apply(node: Node, known: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> list[Any]:
    x, operator = inputs[0], node.operator
    places = list(product(*map(range, node.shape)))
    match operator:
        case Linear():
            weight = known[operator.weight]
            columns = list(weight.vectors()) if operator.transposed else list(_transposed(weight).vectors())
            bias = known[operator.bias].values if operator.bias else None
            return _matrix(list(x.vectors()), columns, bias, operator.widths)
        case MatMul():
            return _product(*inputs, places)
        case Convolution():
            return _convolution(operator, known, x, places)
        case BatchNormalization():
            return _batch_normalization(operator, known, x)
        case LayerNormalization():
            return _layer_normalization(operator, known, x)
        case MaxPool(window=window):
            return [max(v for v in _seen(x, window, place) if v is not None) for place in places]
        case AveragePool(window=window, count_padding=count_padding):
            rounded = Tensor(on_grid(x.values, _mean_bits(window.cells)), x.shape)
            return [_mean(_seen(rounded, window, place), window.cells if count_padding else 0) for place in places]
        case Mean():
            return _means(operator, x)
        case Softmax(log=log):
            return [value for vector in x.vectors() for value in (_log_softmax if log else _softmax)(vector)]
        case Pointwise():
            return [_pointwise(operator, value) for value in x.values]
        case Arithmetic(function=function):
            return [_arithmetic(function, *(each.at(place) for each in inputs)) for place in places]
        case Select(condition=condition):
            chosen = known[condition]
            return [inputs[0 if chosen.at(place) else 1].at(place) for place in places]
        case Embedding(weight=weight, size=size):
            flat = known[weight].values
            return [value for entry in x.values for value in flat[entry * size : (entry + 1) * size]]
        case Recurrent():
            return _recurrent(operator, known, inputs)
    return _move(operator, inputs, places)


def _move(operator: Any, inputs: Sequence[Tensor], places: Sequence[Index]) -> list[Any]:
    x = inputs[0]
    match operator:
        case Reshape():
            return x.values
        case Transpose(order=order):
            return [x.at(tuple(place[order.index(axis)] for axis in range(len(order)))) for place in places]
        case Slice(ranges=ranges):
            return [x.at(tuple(range(*r)[i] for r, i in zip(ranges, place, strict=True))) for place in places]
        case Take(axis=axis, places=chosen, shape=shape):
            indices = Tensor(list(chosen), shape)
            rank = len(shape)
            return [
                x.at((*place[:axis], indices.at(place[axis : axis + rank]), *place[axis + rank :])) for place in places
            ]
        case Concat(axis=axis):
            return [_joined_at(inputs, axis, place) for place in places]
        case Expand():
            return [x.at(place) for place in places]
    raise AssertionError(operator)


def _joined_at(parts: Sequence[Tensor], axis: int, place: Index) -> Any:
    i = place[axis]
    for part in parts:
        if i < part.shape[axis]:
            return part.at((*place[:axis], i, *place[axis + 1 :]))
        i -= part.shape[axis]
    raise AssertionError(place)


def _transposed(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape
    return Tensor([matrix.at((i, j)) for j in range(columns) for i in range(rows)], (columns, rows))


def _finish(exact: Fraction, bias: Fraction | None, widths: Widths, spans: int) -> Fraction:
    """An exact sum, its bias, rounded once to binary64 if it is wide, and to binary32."""
    total = exact + (bias or 0)
    return single(double(total) if widths.total == 53 or spans > 1 else total)


def _matrix(rows: Sequence[Values], columns: Sequence[Values], bias: Values | None, widths: Widths) -> Values:
    most = 1024 if widths.total == 24 else len(columns[0])
    grids = [_on_weight_grid(column, widths, most) for column in columns]
    spans = -(-len(columns[0]) // most)
    return [
        _finish(_dot(row, grid), bias[j] if bias else None, widths, spans)
        for row in (on_grid(row, widths.activation) for row in rows)
        for j, grid in enumerate(grids)
    ]


def _dot(left: Values, right: Values) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def _product(left: Tensor, right: Tensor, places: Sequence[Index]) -> Values:
    terms = left.shape[-1]
    bits = min(11, (24 - (min(terms, 64) - 1).bit_length()) // 2)

    @cache
    def row(batch: Index, i: int) -> tuple[Fraction, ...]:
        return tuple(on_grid([left.at((*batch, i, k)) for k in range(terms)], bits))

    @cache
    def column(batch: Index, j: int) -> tuple[Fraction, ...]:
        return tuple(on_grid([right.at((*batch, k, j)) for k in range(terms)], bits))

    return [single(_dot(list(row(place[:-2], place[-2])), list(column(place[:-2], place[-1])))) for place in places]


def _convolution(operator: Convolution, known: Mapping[str, Tensor], x: Tensor, places: Sequence[Index]) -> Values:
    weight, terms, cells = known[operator.weight], operator.terms, operator.window.cells
    bias = known[operator.bias].values if operator.bias else None
    most = cells * (1024 // cells) if operator.widths.total == 24 else terms
    filters = [_on_weight_grid(each, operator.widths, most) for each in weight.vectors(terms)]
    size = prod(x.shape[-3:])
    rounded = Tensor([v for plane in x.vectors(size) for v in on_grid(plane, operator.widths.activation)], x.shape)
    per_group = operator.channels // operator.groups
    values: Values = []
    for n, output, *at in places:
        first = output // (operator.outputs // operator.groups) * per_group
        seen = [
            value or Fraction(0)
            for channel in range(first, first + per_group)
            for value in _seen(rounded, operator.window, (n, channel, *at))
        ]
        added = bias[output] if bias else None
        values.append(_finish(_dot(seen, filters[output]), added, operator.widths, -(-terms // most)))
    return values


def _seen(x: Tensor, window: Window, place: Index) -> list[Fraction | None]:
    """What a window sees of one channel at one place [n, channel, down, across]; None stands for padding."""
    n, channel, *at = place
    found: list[Fraction | None] = []
    for cell in product(*map(range, window.kernel)):
        down, across = (at[i] * window.strides[i] + cell[i] * window.dilations[i] - window.begin[i] for i in (0, 1))
        inside = 0 <= down < x.shape[2] and 0 <= across < x.shape[3]
        found.append(x.at((n, channel, down, across)) if inside else None)
    return found


def _mean_bits(cells: int) -> int:
    return 24 - max(2, (cells - 1).bit_length())


def _mean(values: Sequence[Fraction | None], cells: int) -> Fraction:
    real = [value for value in values if value is not None]
    return single(sum(real, Fraction(0)) / (cells or len(real)))


def _means(operator: Mean, x: Tensor) -> Values:
    cells = prod(x.shape[axis] for axis in operator.axes)
    rounded = Tensor(on_grid(x.values, _mean_bits(cells)), x.shape)
    kept = [range(1 if axis in operator.axes else size) for axis, size in enumerate(x.shape)]
    inner = [range(size if axis in operator.axes else 1) for axis, size in enumerate(x.shape)]
    return [
        _mean([rounded.at(tuple(i + j for i, j in zip(place, cell, strict=True))) for cell in product(*inner)], cells)
        for place in product(*kept)
    ]


def _batch_normalization(operator: BatchNormalization, known: Mapping[str, Tensor], x: Tensor) -> Values:
    size, values = prod(x.shape[2:]), []
    for place, plane in enumerate(x.vectors(size)):
        scale, bias, mean, variance = (
            known[name].values[place % x.shape[1]]
            for name in (operator.scale, operator.bias, operator.mean, operator.variance)
        )
        factor = double(scale / square_root(double(variance + Fraction(operator.epsilon))))
        shift = double(bias - double(mean * factor))
        values += [single(single(value * single(factor)) + single(shift)) for value in plane]
    return values


def _layer_normalization(operator: LayerNormalization, known: Mapping[str, Tensor], x: Tensor) -> Values:
    scale, size = known[operator.scale].values, operator.size
    bias = known[operator.bias].values if operator.bias else None
    values: Values = []
    for vector in x.vectors(size):
        rounded = on_grid(vector, 16)
        total, squares = sum(rounded, Fraction(0)), _dot(rounded, rounded)
        spread = double(double(squares * size) - double(total * total))
        variance = double(double(spread / (size * size)) + Fraction(operator.epsilon))
        inverse = single(double(1 / square_root(variance)))
        mean = single(double(total / size))
        for value, factor, place in zip(vector, scale, range(size), strict=True):
            y = single(single(single(value - mean) * inverse) * factor)
            values.append(single(y + bias[place]) if bias else y)
    return values


def _softmax(vector: Values) -> Values:
    peak = max(vector)
    odds = [look_up("exp", single(peak - value)) for value in vector]
    total = single(sum(odds, Fraction(0)))
    return [single(each / total) for each in odds]


def _log_softmax(vector: Values) -> Values:
    from heldout.kernels.logarithms import all_losses  # has tests of its own against exact logarithms

    found = all_losses(np.array([[float(value) for value in vector]], np.float32))[0]
    return [single(Fraction(-int(loss), 1 << 20)) for loss in found]


def _pointwise(operator: Pointwise, value: Fraction) -> Fraction:
    match operator.function:
        case "relu":
            return max(value, Fraction(0))
        case "leaky_relu":
            return max(value, single(value * Fraction(float(np.float32(operator.slope)))))
        case "neg":
            return -value
        case "sqrt":
            return single(square_root(value))
        case "gelu" | "gelu_tanh":
            return single(value * look_up(operator.function, value))
    return look_up(operator.function, value)


_ARITHMETIC: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}


def _arithmetic(function: str, left: Fraction, right: Fraction) -> Fraction:
    return single(_ARITHMETIC[function](left, right))


def _recurrent(operator: Recurrent, known: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Values:
    x, size = inputs[0], operator.hidden
    length, batch, terms = x.shape
    given = dict(zip(operator.states, inputs[1:], strict=True))
    count, rows = len(operator.reverse), operator.gates * size
    found: dict[Index, Values] = {}
    for direction, n in product(range(count), range(batch)):
        weight = list(known[operator.weight].vectors())[direction * rows : (direction + 1) * rows]
        recurrence = list(known[operator.recurrence].vectors())[direction * rows : (direction + 1) * rows]
        zeros = [Fraction(0)] * (2 * rows)
        bias = list(known[operator.bias].vectors())[direction] if operator.bias else zeros
        hidden, memory = (
            [given[name].at((direction, n, i)) if name in given else Fraction(0) for i in range(size)]
            for name in ("h", "c")
        )
        places = range(length)[::-1] if operator.reverse[direction] else range(length)
        for place in places:
            entering = _matrix([[x.at((place, n, i)) for i in range(terms)]], weight, bias[:rows], operator.widths)
            recurring = _matrix([hidden], recurrence, bias[rows:], operator.hidden_widths)
            step = _lstm if operator.kind == "LSTM" else _gru
            hidden, memory = step(entering, recurring, hidden, memory)
            found[place, direction, n] = hidden
    return [
        v
        for place, direction, n in product(range(length), range(count), range(batch))
        for v in found[place, direction, n]
    ]


def _lstm(entering: Values, recurring: Values, hidden: Values, memory: Values) -> tuple[Values, Values]:
    size = len(hidden)
    gates = [single(a + b) for a, b in zip(entering, recurring, strict=True)]
    entered, shown, kept = (
        [look_up("sigmoid", gate) for gate in gates[begin : begin + size]] for begin in (0, size, 2 * size)
    )
    fresh = [look_up("tanh", gate) for gate in gates[3 * size :]]
    memory = [single(single(f * c) + single(i * g)) for f, c, i, g in zip(kept, memory, entered, fresh, strict=True)]
    return [single(o * look_up("tanh", c)) for o, c in zip(shown, memory, strict=True)], memory


def _gru(entering: Values, recurring: Values, hidden: Values, memory: Values) -> tuple[Values, Values]:
    size = len(hidden)
    gates = [look_up("sigmoid", single(entering[i] + recurring[i])) for i in range(2 * size)]
    kept, reset = gates[:size], gates[size:]
    new: Values = []
    for i in range(size):
        fresh = look_up("tanh", single(entering[2 * size + i] + single(reset[i] * recurring[2 * size + i])))
        new.append(single(single(single(1 - kept[i]) * fresh) + single(kept[i] * hidden[i])))
    return new, memory
