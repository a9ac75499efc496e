"""What each operator does, on NumPy. A step maps tensors [n, …] to one tensor [n, …]; docs/score-v0.md defines it."""

from collections.abc import Callable, Mapping

import numpy as np

from heldout.kernels.cpu.grid import Exact, ExactWeights, check_range, constants, narrow, round_rows
from heldout.kernels.cpu.windows import pad, taps, unfold
from heldout.kernels.device import Array
from heldout.kernels.errors import OutOfRange
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
    Window,
)

Step = Callable[..., Array]
Weights = Mapping[str, Array]


def build(operator: Operator, weights: Weights) -> Step:
    """The step of an operator, its weights rounded once and for all. Raises OutOfRange if they cannot be."""
    match operator:
        case Linear():
            return _linear(operator, weights)
        case Convolution():
            return _convolution(operator, weights)
        case BatchNormalization():
            return _normalization(operator, weights)
        case MaxPool():
            return lambda x: _max_pool(operator, x)
        case AveragePool():
            return lambda x: _average_pool(operator, x)
        case GlobalAveragePool():
            return _global_average
        case Relu():
            return lambda x: np.maximum(x, np.float32(0))
        case AddConstant():
            added = constants(weights[operator.weight]).reshape(operator.shape)
            return lambda x: check_range(x + added)
        case AddTensors():
            return lambda x, other: check_range(x + other)
        case Reshape():
            return lambda x: x.reshape(len(x), *operator.shape)


def _linear(operator: Linear, weights: Weights) -> Step:
    matrix = weights[operator.weight].astype(np.float64)
    rows = matrix if operator.transposed else np.ascontiguousarray(matrix.T)
    exact = ExactWeights(rows, weights[operator.bias] if operator.bias else None, operator.widths)
    columns = np.ascontiguousarray(exact.grid.T)

    def step(x: Array) -> Array:
        sums = exact.round(x) @ columns
        sums += exact.bias
        return narrow(sums)

    return step


def _convolution(operator: Convolution, weights: Weights) -> Step:
    rows = weights[operator.weight].astype(np.float64).reshape(operator.outputs, operator.terms)
    exact = ExactWeights(rows, weights[operator.bias] if operator.bias else None, operator.widths)
    grid = exact.grid.reshape(operator.groups, operator.outputs // operator.groups, operator.terms)

    def step(x: Array) -> Array:
        windows = unfold(pad(exact.round(x), operator.window, 0), operator.window, operator.groups)
        sums = np.matmul(grid, windows).reshape(len(x), operator.outputs, -1)
        sums += exact.bias[:, None]
        return narrow(sums).reshape(len(x), *operator.output(x.shape[1:]))

    return step


def _normalization(operator: BatchNormalization, weights: Weights) -> Step:
    scale, bias, mean, variance = (
        weights[name].astype(np.float64) for name in (operator.scale, operator.bias, operator.mean, operator.variance)
    )
    if np.any(variance + operator.epsilon <= 0):
        raise OutOfRange("a variance is not positive")
    # Binary64, one rounding per operation, in the order written.
    factor = scale / np.sqrt(variance + operator.epsilon)
    exact = ExactWeights(factor[:, None], bias - mean * factor, FULL)

    def step(x: Array) -> Array:
        shape = (operator.channels, *(1 for _ in x.shape[2:]))
        return narrow(exact.round(x) * exact.grid.reshape(shape) + exact.bias.reshape(shape))

    return step


def _max_pool(operator: MaxPool, x: Array) -> Array:
    first, *others = taps(pad(x, operator.window, -np.inf), operator.window)
    best = first.copy()
    for tap in others:
        np.maximum(best, tap, out=best)
    return best


def _average_pool(operator: AveragePool, x: Array) -> Array:
    rounded, _ = round_rows(x, FULL)
    cells = pad(np.ones((1, 1, *x.shape[2:])), operator.window, float(operator.count_padding))
    sums = _tap_sum(pad(rounded, operator.window, 0), operator.window)
    return narrow(sums / _tap_sum(cells, operator.window))


def _tap_sum(x: Exact, window: Window) -> Exact:
    first, *others = taps(x, window)
    total = first.copy()
    for tap in others:
        total += tap
    return total


def _global_average(x: Array) -> Array:
    rounded, _ = round_rows(x, FULL)
    flat = rounded.reshape(*x.shape[:2], -1)
    means = narrow(flat.sum(axis=2) / flat.shape[2])
    return means.reshape(*x.shape[:2], *(1 for _ in x.shape[2:]))
