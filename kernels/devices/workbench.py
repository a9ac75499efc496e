"""What a machine must do to show what it can (kernels.capability): the same work many times over, timed."""

import time
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array

Whole = NDArray[np.uint32]


@runtime_checkable
class Workbench(Protocol):
    """Each method gives a result and the seconds that `repeats` runs took, without moving data to the machine."""

    name: str

    def time_multiply(self, left: Array, right: Array, repeats: int) -> tuple[Array, float]:
        """The product of two matrices of whole numbers, no partial sum above 2**24."""
        ...

    def time_add(self, left: Whole, right: Whole, repeats: int) -> tuple[Whole, float]:
        """The sum of two vectors, modulo 2**32."""
        ...

    def time_copy(self, values: Whole, repeats: int) -> tuple[Whole, float]:
        """A copy of a vector."""
        ...


class Cpu:
    """This machine's processor, with NumPy and its BLAS."""

    name = "cpu"

    def time_multiply(self, left: Array, right: Array, repeats: int) -> tuple[Array, float]:
        """See `Workbench`."""
        product = np.empty((left.shape[0], right.shape[1]), np.float32)
        began = time.perf_counter()
        for _ in range(repeats):
            np.matmul(left, right, out=product)
        return product, time.perf_counter() - began

    def time_add(self, left: Whole, right: Whole, repeats: int) -> tuple[Whole, float]:
        """See `Workbench`."""
        total = np.zeros_like(left)  # its pages are there before the clock runs
        began = time.perf_counter()
        for _ in range(repeats):
            np.add(left, right, out=total)
        return total, time.perf_counter() - began

    def time_copy(self, values: Whole, repeats: int) -> tuple[Whole, float]:
        """See `Workbench`."""
        copied = np.zeros_like(values)
        began = time.perf_counter()
        for _ in range(repeats):
            np.copyto(copied, values)
        return copied, time.perf_counter() - began
