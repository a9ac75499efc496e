"""Products as GPUs want them: matrices one after the other, or one matrix for the whole batch."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Exact


@dataclass(frozen=True)
class Product:
    """`count` products of [m, k] and [k, n], both contiguous; a factor of stride 0 is one matrix that all share."""

    left: Exact
    right: Exact
    count: int
    m: int
    n: int
    k: int
    left_stride: int
    """Elements from one matrix to the next."""
    right_stride: int
    shape: tuple[int, ...]
    """Of the result, as NumPy's matmul gives it."""

    @property
    def sizes(self) -> NDArray[np.uint32]:
        """What kernels read: m, n, k and the two strides."""
        return np.array([self.m, self.n, self.k, self.left_stride, self.right_stride], np.uint32)


def product(left: Exact, right: Exact) -> Product:
    """The product of `left` [..., m, k] and `right` [..., k, n], batch axes broadcast."""
    axes = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*axes, left.shape[-2], right.shape[-1])
    if prod(right.shape[:-2]) == 1:  # then all rows of all matrices meet one matrix: a single, taller product
        left = np.broadcast_to(left, (*axes, *left.shape[-2:])).reshape(-1, left.shape[-1])
    left, left_stride = _factor(left, axes)
    right, right_stride = _factor(right, axes)
    count = max(len(left), len(right))
    return Product(left, right, count, left.shape[1], right.shape[2], left.shape[2], left_stride, right_stride, shape)


def _factor(factor: Exact, axes: tuple[int, ...]) -> tuple[Exact, int]:
    """The factor [count or 1, rows, columns], and its stride."""
    rows, columns = factor.shape[-2:]
    if prod(factor.shape[:-2]) == 1:
        return np.ascontiguousarray(factor).reshape(1, rows, columns), 0
    spread = np.broadcast_to(factor, (*axes, rows, columns))
    return np.ascontiguousarray(spread).reshape(-1, rows, columns), rows * columns
