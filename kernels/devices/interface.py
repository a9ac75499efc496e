"""What a device must provide: eight operations on arrays, each with one right answer (P9.3).

The engine (`heldout.kernels.engine`) turns a graph into calls of these and does everything else itself. Arrays are
NumPy's, C-contiguous or views, and stay the caller's: a device reads them and returns new ones. `numpy.NumpyDevice` is
the reference; other devices inherit from it and replace what they do faster. Only `multiply` is worth a new machine:
`convolve` is a `multiply` with windows, the others are a few passes over memory each.

A device is right if `known_answers.self_test(device)` says so, and may not score otherwise (P9.4).
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.tables import Table
from heldout.kernels.windows import Window

Array = NDArray[np.float32]
"""binary32 tensor, rows first: what steps hand to each other."""
Exact = NDArray[Any]
"""Grid values: binary32 for sums of 24 bits, binary64 for sums of 53."""
Wide = NDArray[np.float64]


class Device(Protocol):
    name: str
    exact: bool
    """True, but for the device that rounds nothing, which scores are compared with (`devices/plain.py`)."""
    block: int
    """Values that several operations in a row had best be given at a time, so that a cache holds them."""

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """`left` [..., m, k] times `right` [..., k, n], batch axes broadcast; both of one type, which the result has.

        Both hold grid values: in row i of `left` whole multiples of a power of two 2**p[i], in column j of `right` of
        2**q[j]. No partial sum of output i, j, in any order, exceeds 2**24 (binary32) or 2**53 (binary64) steps of
        2**(p[i] + q[j]), and no such step is denormal. So any order, fused or not, in fp32, fp64 or integers, is exact.
        Modes of reduced precision (TF32, bf16), and algorithms that form other sums (Winograd, FFT), are not.
        """
        ...

    def convolve(self, x: Exact, filters: Exact, window: Window, groups: int) -> Exact:
        """`x` [n, channels, h, w] under `filters` [outputs, channels / groups, kh, kw]: [n, outputs, h', w'], no bias.

        Padding is zero. The same promise holds, with one grid for each row of `x` and each filter.
        """
        ...

    def max_pool(self, x: Array, window: Window) -> Array:
        """The largest value under each window of `x` [n, channels, h, w]; padding is less than anything."""
        ...

    def combine(self, function: str, left: Exact, right: Exact, out: Exact | None = None) -> Exact:
        """Two tensors of one type, shapes broadcast: `add`, `subtract`, `multiply`, `divide` or `maximum`.

        Each result is rounded once. It is written to `out` if that is given, which may be one of the two.
        """
        ...

    def round(self, x: Array, bits: int, total: int, axis: int = -1) -> tuple[Exact, int]:
        """Each vector along `axis` on its own grid, in the type for sums of `total` bits; and the largest exponent.

        A vector whose peak is at most 2**e, for the least such integer e >= -52, is rounded to multiples of
        2**(e - bits), ties to even. Raises OutOfRange if a magnitude exceeds 2**100 or is not a number.
        """
        ...

    def look_up(self, table: Table, x: Array) -> Array:
        """`table.entries[r + table.offset]` for each value: r is value * `table.scale`, rounded to nearest, ties to
        even, and brought within -offset and 65535 - offset."""
        ...

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """Of each row of `x` [m, k], rounded to `bits`: the exact sum, and the exact sum of squares, [m, 1]."""
        ...

    def softmax(self, table: Table, x: Array) -> Array:
        """Of each row of `x` [m, k]: entries for its peak less itself, divided by their exact sum in binary32."""
        ...
