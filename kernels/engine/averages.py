"""Pools, means, norms and softmax."""

import numpy as np

from heldout.kernels.devices.interface import Array, Device
from heldout.kernels.devices.numpy import pad, row_blocks, taps
from heldout.kernels.engine.grid import Wide, check_range
from heldout.kernels.engine.sums import Check, Static, Step
from heldout.kernels.errors import OutOfRange
from heldout.kernels.logarithms import log_softmax
from heldout.kernels.operators import (
    AveragePool,
    BatchNormalization,
    LayerNormalization,
    MaxPool,
    Mean,
    Softmax,
    mean_bits,
)
from heldout.kernels.tables import table
from heldout.kernels.windows import Window

NORM_BITS = 16
"""Bits of the values that mean and variance are made of."""


def max_pool(operator: MaxPool, device: Device) -> Step:
    def step(x: Array) -> Array:
        pooled = device.max_pool(x.reshape(-1, *x.shape[-3:]), operator.window)
        return pooled.reshape(*x.shape[:-3], *pooled.shape[1:])

    return step


def average_pool(operator: AveragePool, device: Device) -> Step:
    window, bits = operator.window, mean_bits(operator.window.cells)

    def step(x: Array) -> Array:
        planes = _rounded(x, bits, device).reshape(-1, *x.shape[-3:])
        counted = np.ones((1, 1, *x.shape[-2:]), np.float32)
        cells = _tap_sum(pad(counted, window, float(operator.count_padding)), window)
        means = _tap_sum(pad(planes, window, 0), window) / cells
        return means.reshape(*x.shape[:-3], *means.shape[1:])

    return step


def _rounded(x: Array, bits: int, device: Device) -> Array:
    """A row's whole tensor on one grid."""
    rounded: Array = device.round(x.reshape(len(x), -1), bits, 24)[0]
    return rounded.reshape(x.shape)


def _tap_sum(x: Array, window: Window) -> Array:
    first, *others = taps(x, window)
    total = first.copy()
    for tap in others:
        total += tap
    return total


def mean(operator: Mean, device: Device) -> Step:
    axes = tuple(axis + 1 for axis in operator.axes)

    def step(x: Array) -> Array:
        cells = operator.cells(x.shape[1:])
        sums = _rounded(x, mean_bits(cells), device).sum(axis=axes, keepdims=operator.keep, dtype=np.float32)
        return np.asarray(sums / np.float32(cells))

    return step


def batch_normalization(operator: BatchNormalization, static: Static, device: Device, check: Check) -> Step:
    scale, bias, average, variance = (
        static[name].astype(np.float64) for name in (operator.scale, operator.bias, operator.mean, operator.variance)
    )
    if not (variance + operator.epsilon > 0).all():
        raise OutOfRange("a variance is not positive")
    factor = scale / np.sqrt(variance + operator.epsilon)
    shift = bias - average * factor
    factors, shifts = (
        check_range(factor.astype(np.float32)),
        check_range(shift.astype(np.float32)),
    )

    def step(x: Array) -> Array:
        shape = (operator.channels, *(1 for _ in x.shape[3:]))
        y = device.combine("multiply", x, factors.reshape(shape))
        return check(device.combine("add", y, shifts.reshape(shape), out=y))

    return step


def layer_normalization(operator: LayerNormalization, static: Static, device: Device, check: Check) -> Step:
    scale = np.array(static[operator.scale]).ravel()
    bias = np.array(static[operator.bias]).ravel() if operator.bias else None

    def normalize(vectors: Array, y: Array) -> None:
        sums, squares = device.moments(vectors, NORM_BITS)
        means, inverses = _spread(sums, squares, operator)
        device.combine("subtract", vectors, means, out=y)
        device.combine("multiply", y, inverses, out=y)
        device.combine("multiply", y, scale, out=y)
        if bias is not None:
            device.combine("add", y, bias, out=y)

    def step(x: Array) -> Array:
        vectors = x.reshape(-1, operator.size)
        y = np.empty(vectors.shape, np.result_type(vectors, np.float32))  # whole numbers are divided too
        for rows in row_blocks(vectors.shape, device.block):
            normalize(vectors[rows], y[rows])
        return check(y).reshape(x.shape)

    return step


def _spread(sums: Wide, squares: Wide, operator: LayerNormalization) -> tuple[Array, Array]:
    """Mean and 1 / √(variance + epsilon) of each vector, [m, 1], each operation rounded as written."""
    size = operator.size
    variances = (squares * size - sums * sums) / (size * size)
    variances += operator.epsilon
    if not (variances > 0).all():
        raise OutOfRange("a vector to be normalized has no variance, and epsilon is 0")
    return (sums / size).astype(np.float32), (1 / np.sqrt(variances)).astype(np.float32)


def softmax(operator: Softmax, device: Device) -> Step:
    if operator.log:
        return log_softmax
    entries = table("exp")
    return lambda x: device.softmax(entries, x.reshape(-1, x.shape[-1])).reshape(x.shape)
