"""Sums of products: with a matrix of weights, under a window of weights, and of two computed tensors."""

from collections.abc import Callable, Mapping

import numpy as np

from heldout.kernels.devices.interface import Array, Device, Exact
from heldout.kernels.engine.grid import ExactWeights, joined, narrow
from heldout.kernels.errors import OutOfRange
from heldout.kernels.operators import (
    PRODUCT_SPAN,
    SPAN,
    Convolution,
    Linear,
    Widths,
    product_bits,
    spans,
)

Step = Callable[..., Array]
Check = Callable[[Array], Array]
Static = Mapping[str, Array]
"""Tensors without rows, in ONNX's shape."""

_LARGEST_FACTOR = 40
"""Neither side of a product of two computed tensors may exceed 2**40."""


class Matrix:
    """A matrix of weights [outputs, terms] and a bias, ready to be multiplied."""

    def __init__(self, rows: Array, bias: Array | None, widths: Widths, device: Device) -> None:
        self._spans = spans(rows.shape[1], SPAN if widths.total == 24 else rows.shape[1])
        self._exact = ExactWeights(rows, bias, widths, self._spans, device)
        self._columns = [np.ascontiguousarray(self._exact.grid[:, span].T) for span in self._spans]
        self._device = device

    def __call__(self, x: Array) -> Array:
        """[..., terms] to [..., outputs]."""
        rounded = self._exact.round(x.reshape(-1, x.shape[-1]))
        pairs = zip(self._spans, self._columns, strict=True)
        parts = [self._device.multiply(rounded[:, span], columns) for span, columns in pairs]
        return self._exact.finish(parts, self._exact.bias).reshape(*x.shape[:-1], -1)


def linear(operator: Linear, static: Static, device: Device) -> Step:
    weight = static[operator.weight]
    bias = static[operator.bias] if operator.bias else None
    return Matrix(weight if operator.transposed else weight.T, bias, operator.widths, device)


def convolution(operator: Convolution, static: Static, device: Device) -> Step:
    weight = static[operator.weight]
    bias = static[operator.bias] if operator.bias else None
    cells, places = operator.window.cells, operator.spans
    terms = [slice(place.start * cells, place.stop * cells) for place in places]
    exact = ExactWeights(weight.reshape(len(weight), -1), bias, operator.widths, terms, device)
    filters = [np.ascontiguousarray(exact.grid.reshape(weight.shape)[:, place]) for place in places]
    added = None if exact.bias is None else exact.bias[:, None, None]

    def step(x: Array) -> Array:
        planes = x.reshape(-1, *x.shape[-3:])
        rounded = exact.round(planes.reshape(len(planes), -1)).reshape(planes.shape)
        parts = [
            device.convolve(
                _channels(rounded, operator.groups, place),
                part,
                operator.window,
                operator.groups,
            )
            for place, part in zip(places, filters, strict=True)
        ]
        result = exact.finish(parts, added)
        return result.reshape(*x.shape[:-3], *result.shape[1:])

    return step


def _channels(x: Exact, groups: int, place: slice) -> Exact:
    """The channels `place` of each group."""
    n, channels, height, width = x.shape
    if place == slice(0, channels // groups):
        return x
    return x.reshape(n, groups, -1, height, width)[:, :, place].reshape(n, -1, height, width)


def product(device: Device, check: Check) -> Step:
    """MatMul of two computed tensors."""

    def step(left: Array, right: Array) -> Array:
        rank = max(left.ndim, right.ndim)
        terms = left.shape[-1]
        a = _rounded(aligned(left, rank), terms, -1, device)
        b = _rounded(aligned(right, rank), terms, -2, device)
        parts = [device.multiply(a[..., span], b[..., span, :]) for span in spans(terms, PRODUCT_SPAN)]
        return check(narrow(joined(parts)))

    return step


def _rounded(x: Array, terms: int, axis: int, device: Device) -> Exact:
    """Each vector along an axis on its own grid. Raises OutOfRange."""
    rounded, exponent = device.round(x, product_bits(terms), 24, axis)
    if exponent > _LARGEST_FACTOR:
        raise OutOfRange(f"a product of two computed tensors meets a value beyond 2**{_LARGEST_FACTOR}")
    return rounded


def aligned(x: Array, rank: int) -> Array:
    """`x` [n, ...] with axes of 1 after the first, so that its other axes are the last of `rank`."""
    return x.reshape(len(x), *[1] * (rank - x.ndim), *x.shape[1:])
