"""Rounding to power-of-two grids, after which sums are exact (P9.2; docs/score-v0.md, "Numbers").

A value on the grid 2**-s is an integer times 2**-s. Products of two such values lie on the grid of the product, and as
long as a sum of them stays below 2**24 (binary32) or 2**53 (binary64) grid steps, every partial sum in any order is
exact. So grid values go into a plain BLAS: no order, thread count, batch or fused multiply-add can change a bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.device import Array
from heldout.kernels.errors import OutOfRange
from heldout.kernels.operators import Widths

Exact = NDArray[Any]
"""Grid values: binary32 or binary64, as the widths of their sums demand."""
Wide = NDArray[np.float64]

LARGEST = 100
"""No tensor holds a magnitude above 2**100."""
SMALLEST = -60
"""A row's grid is never chosen for a peak below 2**-60, and a constant below that is zero: nothing becomes denormal."""
FINEST_WEIGHT = 40
"""The finest grid of weights is 2**-40."""
_COARSEST_WEIGHT = -160

_MANTISSA: dict[int, type[np.float32 | np.float64]] = {24: np.float32, 53: np.float64}


def check_range(x: Array) -> Array:
    """`x` itself. Raises OutOfRange if a magnitude exceeds 2**LARGEST."""
    if x.size and max(float(x.max()), -float(x.min())) > 2.0**LARGEST:
        raise OutOfRange(f"a value exceeds 2**{LARGEST}")
    return x


def constants(values: Array | Wide, dtype: type[np.float32 | np.float64] = np.float32) -> Exact:
    """Weights that are added, not multiplied: below 2**SMALLEST they are zero. Raises OutOfRange."""
    if values.size and float(np.abs(values).max()) > 2.0 ** (LARGEST - 1):
        raise OutOfRange(f"an added weight exceeds 2**{LARGEST - 1}")
    return np.where(np.abs(values) < 2.0**SMALLEST, 0, values).astype(dtype)


def narrow(values: Exact) -> Array:
    """binary32 again: one more rounding to nearest even if the sums were binary64."""
    return values.astype(np.float32, copy=False)


def round_rows(x: Array, widths: Widths) -> tuple[Exact, int]:
    """Each row of `x` [n, …] on its own grid, in the type that holds sums of `widths.total` bits.

    A row whose peak is at most 2**e, for the least such e >= SMALLEST, gets the grid 2**(e - activation bits), so it
    holds integers of at most 2**(activation bits) steps; ties go to even. Also returns the largest e of all rows.
    """
    dtype = _MANTISSA[widths.total]
    flat = x.reshape(len(x), -1)
    peak = np.maximum(flat.max(axis=1), -flat.min(axis=1)).astype(np.float64)
    mantissa, exponent = np.frexp(np.maximum(peak, 2.0**SMALLEST))
    exponent -= mantissa == 0.5
    # Adding 1.5 * 2**(p-1) grid steps, p the mantissa's bits, leaves no room for anything finer than one step: the
    # addition itself rounds to nearest even, and taking the number away again is exact.
    magic = np.ldexp(1.5, widths.total - 1 - widths.activation + exponent).astype(dtype)
    magic = magic.reshape(-1, *(1 for _ in x.shape[1:]))
    rounded: Exact = np.add(x, magic, dtype=dtype)
    rounded -= magic
    return rounded, int(exponent.max())


class ExactWeights:
    """Weights that are multiplied, on grids that keep every sum exact, and the bias added after it.

    `grid` is [outputs, terms], `bias` [outputs]; each output has its own grid: the finest 2**-k, k <= FINEST_WEIGHT, on
    which the magnitudes of its weights sum to at most 2**(total - activation bits) steps. Raises OutOfRange.
    """

    def __init__(self, rows: Wide, bias: Array | Wide | None, widths: Widths) -> None:
        self.widths = widths
        dtype = _MANTISSA[widths.total]
        budget = widths.total - widths.activation
        finest = _finest_grids(rows, 2.0**budget)
        self._reach = budget - int(finest.min())
        self._check(0)
        self.grid: Exact = np.ldexp(_steps(rows, finest), -finest[:, None]).astype(dtype)
        self.bias: Exact = constants(np.zeros(len(rows)) if bias is None else bias.ravel(), dtype)

    def round(self, x: Array) -> Exact:
        """Activations on the grid that fits these weights. Raises OutOfRange if a sum of them could leave the range."""
        rounded, exponent = round_rows(x, self.widths)
        self._check(exponent)
        return rounded

    def _check(self, exponent: int) -> None:
        if exponent + self._reach >= LARGEST:
            raise OutOfRange(f"weights that sum to 2**{self._reach} meet an activation too large for them")


def _steps(rows: Wide, finest: NDArray[np.int64]) -> Wide:
    return np.rint(np.ldexp(rows, finest[:, None]))


def _finest_grids(rows: Wide, budget: float) -> NDArray[np.int64]:
    """For each row the largest k <= FINEST_WEIGHT with sum |rint(w * 2**k)| <= budget: it grows with k, so bisect."""
    fits = np.full(len(rows), _COARSEST_WEIGHT)
    fails = np.full(len(rows), FINEST_WEIGHT + 1)
    while np.any(fails - fits > 1):
        middle = (fits + fails) // 2
        good = np.abs(_steps(rows, middle)).sum(axis=1) <= budget
        fits = np.where(good, middle, fits)
        fails = np.where(good, fails, middle)
    return fits
