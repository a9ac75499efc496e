"""Functions of single values, and arithmetic of two tensors: each result rounded once, as IEEE 754 has it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array, Device
from heldout.kernels.devices.numpy import row_blocks
from heldout.kernels.engine.grid import check_range
from heldout.kernels.engine.sums import Check, Static, Step, aligned
from heldout.kernels.errors import BadData
from heldout.kernels.operators import Arithmetic, Embedding, Pointwise, Select
from heldout.kernels.tables import table

_ZERO = np.zeros(1, np.float32)


def pointwise(operator: Pointwise, device: Device) -> Step:
    match operator.function:
        case "relu":
            return lambda x: device.combine("maximum", x, _ZERO)
        case "leaky_relu":
            slope = np.array([operator.slope], np.float32)
            return lambda x: device.combine("maximum", x, device.combine("multiply", x, slope))
        case "neg":
            return np.negative
        case "sqrt":
            return lambda x: check_range(np.sqrt(x))
        case "gelu" | "gelu_tanh":
            shares = table(operator.function)
            return _in_blocks(device, lambda x: device.combine("multiply", x, device.look_up(shares, x)))
        case _:
            entries = table(operator.function)
            return _in_blocks(device, lambda x: device.look_up(entries, x))


def _in_blocks(device: Device, function: Step) -> Step:
    """The same, a block after the other, so that all its passes find their values in the cache."""

    def step(x: Array) -> Array:
        flat = x.reshape(-1)
        result = np.empty(flat.shape, np.float32)
        for block in row_blocks(flat.shape, device.block):
            result[block] = function(flat[block])
        return result.reshape(x.shape)

    return step


def arithmetic(operator: Arithmetic, device: Device, check: Check) -> Step:
    def step(left: Array, right: Array) -> Array:
        rank = max(left.ndim, right.ndim)
        return check(device.combine(operator.function, aligned(left, rank), aligned(right, rank)))

    return step


def select(operator: Select, constants: Mapping[str, NDArray[Any]]) -> Step:
    condition = constants[operator.condition][None]

    def step(left: Array, right: Array) -> Array:
        rank = max(left.ndim, right.ndim, condition.ndim)
        return np.where(aligned(condition, rank), aligned(left, rank), aligned(right, rank))

    return step


def embedding(operator: Embedding, static: Static) -> Step:
    entries = static[operator.weight]

    def step(places: NDArray[np.int64]) -> Array:
        if not 0 <= places.min() <= places.max() < operator.entries:
            raise BadData(f"x holds a number that is not in 0 … {operator.entries - 1}")
        return check_range(entries.take(places, axis=0))

    return step
