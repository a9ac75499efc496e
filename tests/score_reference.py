"""`score-v0` a second time, as docs/score-v0.md states it: slow, one row at a time, in rational numbers alone.

It shares the graph reader with the scorer and nothing else. Rounding happens where the page says so, through `binary`.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import isqrt, prod

import numpy as np

from heldout.kernels.graph import Graph
from heldout.kernels.operators import (
    FULL,
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
    Window,
)

Values = list[Fraction]
Index = tuple[int, ...]


def outputs(graph: Graph, weights: Mapping[str, np.ndarray], row: np.ndarray) -> np.ndarray:
    """The outputs of one row, float32 [outputs]."""
    tensors = {graph.input: (_exact(row), graph.input_shape)}
    exact = {name: _exact(value) for name, value in weights.items()}
    for node in graph.nodes:
        values = _apply(node.operator, exact, [tensors[name] for name in node.inputs], node.shape)
        tensors[node.output] = values, node.shape
    return np.array([float(value) for value in tensors[graph.output][0]], np.float32)


def binary(value: Fraction, digits: int) -> Fraction:
    """`value` with `digits` significant binary digits, to nearest, ties to even."""
    if not value:
        return value
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (exponent - digits + 1)
    return round(value / step) * step  # Python rounds a Fraction to the even neighbour


def finest_grid(weights: Values, widths: Widths) -> int:
    """The largest k <= 40 at which the magnitudes of round(w * 2**k) sum to at most the budget."""
    budget = 2 ** (widths.total - widths.activation)
    k = 40
    while sum(abs(round(w * Fraction(2) ** k)) for w in weights) > budget:
        k -= 1
    return k


def _exact(values: np.ndarray) -> Values:
    return [Fraction(float(value)) for value in values.ravel()]


def _constant(value: Fraction) -> Fraction:
    return value if abs(value) >= Fraction(2) ** -60 else Fraction(0)


def _round_row(row: Values, widths: Widths) -> Values:
    peak = max(abs(value) for value in row)
    exponent = -60
    while peak > Fraction(2) ** exponent:
        exponent += 1
    step = Fraction(2) ** (exponent - widths.activation)
    return [round(value / step) * step for value in row]


def _round_weights(weights: Values, widths: Widths) -> Values:
    step = Fraction(2) ** -finest_grid(weights, widths)
    return [round(weight / step) * step for weight in weights]


def _sum(row: Values, weights: Values, bias: Fraction, total: int) -> Fraction:
    """One output: an exact sum, its bias, rounded once to `total` digits and, if that was more, once more to 24."""
    exact = sum((x * w for x, w in zip(row, weights, strict=True)), Fraction(0))
    return binary(binary(exact + _constant(bias), total), 24)


def _apply(operator: Operator, weights: Mapping[str, Values], inputs: list[tuple[Values, Shape]], to: Shape) -> Values:
    row, shape = inputs[0]
    match operator:
        case Linear():
            return _linear(operator, weights, row)
        case Convolution():
            return _convolution(operator, weights, row, shape, to)
        case BatchNormalization():
            return _normalization(operator, weights, row, shape)
        case MaxPool(window=window):
            return _windows(row, shape, to, window, lambda seen, _: max(value for value in seen if value is not None))
        case AveragePool(window=window, count_padding=count_padding):
            rounded = _round_row(row, FULL)
            return _windows(rounded, shape, to, window, lambda seen, cells: _mean(seen, cells if count_padding else 0))
        case GlobalAveragePool():
            size, rounded = prod(shape[1:]), _round_row(row, FULL)
            return [_mean(rounded[channel * size : (channel + 1) * size], size) for channel in range(shape[0])]
        case Relu():
            return [max(value, Fraction(0)) for value in row]
        case AddConstant():
            added = np.broadcast_to(np.arange(prod(operator.shape)).reshape(operator.shape), shape).ravel()
            return [
                binary(value + _constant(weights[operator.weight][place]), 24)
                for value, place in zip(row, added, strict=True)
            ]
        case AddTensors():
            return [binary(a + b, 24) for a, b in zip(row, inputs[1][0], strict=True)]
        case Reshape():
            return row


def _linear(operator: Linear, weights: Mapping[str, Values], row: Values) -> Values:
    flat, terms, size = weights[operator.weight], operator.terms, operator.outputs
    columns = [
        flat[place * terms : (place + 1) * terms] if operator.transposed else flat[place::size] for place in range(size)
    ]
    bias = weights[operator.bias] if operator.bias else [Fraction(0)] * size
    rounded = _round_row(row, operator.widths)
    grids = [_round_weights(column, operator.widths) for column in columns]
    return [
        _sum(rounded[begin : begin + terms], grid, bias[place], operator.widths.total)
        for begin in range(0, len(rounded), terms)
        for place, grid in enumerate(grids)
    ]


def _convolution(operator: Convolution, weights: Mapping[str, Values], row: Values, shape: Shape, to: Shape) -> Values:
    rounded, terms = _round_row(row, operator.widths), operator.terms
    bias = weights[operator.bias] if operator.bias else [Fraction(0)] * operator.outputs
    per_group = operator.channels // operator.groups
    values: Values = []
    for channel in range(operator.outputs):
        grid = _round_weights(weights[operator.weight][channel * terms : (channel + 1) * terms], operator.widths)
        first = channel // (operator.outputs // operator.groups) * per_group
        for place in product(*map(range, to[1:])):
            seen = [
                value or Fraction(0)
                for source in range(first, first + per_group)
                for value in _seen(rounded, shape, operator.window, source, place)
            ]
            values.append(_sum(seen, grid, bias[channel], operator.widths.total))
    return values


def _normalization(operator: BatchNormalization, weights: Mapping[str, Values], row: Values, shape: Shape) -> Values:
    rounded, size = _round_row(row, FULL), prod(shape[1:])
    values: Values = []
    for channel in range(shape[0]):
        scale, bias, mean, variance = (
            weights[name][channel] for name in (operator.scale, operator.bias, operator.mean, operator.variance)
        )
        root = _square_root(binary(variance + Fraction(operator.epsilon), 53))
        factor = binary(scale / root, 53)
        shift = binary(bias - binary(mean * factor, 53), 53)
        grid = _round_weights([factor], FULL)[0]
        for value in rounded[channel * size : (channel + 1) * size]:
            values.append(binary(binary(value * grid + _constant(shift), 53), 24))
    return values


def _square_root(value: Fraction) -> Fraction:
    """Correctly rounded to 53 digits: 200 more than needed, and a last digit that says whether it is exact."""
    scaled = value * Fraction(4) ** 200
    whole = isqrt(scaled.numerator // scaled.denominator)
    inexact = whole * whole != scaled
    return binary(Fraction(2 * whole + inexact, 2) / Fraction(2) ** 200, 53)


def _mean(values: Sequence[Fraction | None], cells: int) -> Fraction:
    real = [value for value in values if value is not None]
    return binary(binary(sum(real, Fraction(0)) / (cells or len(real)), 53), 24)


def _windows(
    row: Values, shape: Shape, to: Shape, window: Window, reduce: Callable[[list[Fraction | None], int], Fraction]
) -> Values:
    return [
        reduce(_seen(row, shape, window, channel, place), prod(window.kernel))
        for channel in range(shape[0])
        for place in product(*map(range, to[1:]))
    ]


def _seen(row: Values, shape: Shape, window: Window, channel: int, place: Index) -> list[Fraction | None]:
    """What a window sees of one channel at one place; None stands for padding."""
    _, height, width = shape
    cells: list[Fraction | None] = []
    for cell in product(*map(range, window.kernel)):
        down, across = (
            place[axis] * window.strides[axis] + cell[axis] * window.dilations[axis] - window.begin[axis]
            for axis in (0, 1)
        )
        inside = 0 <= down < height and 0 <= across < width
        cells.append(row[(channel * height + down) * width + across] if inside else None)
    return cells
