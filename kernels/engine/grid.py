"""Rounding to power-of-two grids, after which sums are exact (P9.2; docs/score-v1.md, "Grids").

A value on the grid 2**-s is an integer times 2**-s. Products of two such values lie on the grid of the product, and as
long as a sum of them stays below 2**24 (binary32) or 2**53 (binary64) grid steps, every partial sum in any order is
exact. So grid values go into a plain BLAS: no order, thread count, batch or fused multiply-add can change a bit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array, Device, Exact
from heldout.kernels.devices.numpy import LARGEST
from heldout.kernels.errors import OutOfRange
from heldout.kernels.operators import Widths

Wide = NDArray[np.float64]

FINEST_WEIGHT = 40
"""The finest grid of weights is 2**-40."""
_COARSEST_WEIGHT = -160


def check_range(x: Array) -> Array:
    """`x` itself. Raises OutOfRange if a magnitude exceeds 2**LARGEST, or is not a number."""
    if x.size and not max(float(x.max()), -float(x.min())) <= 2.0**LARGEST:
        raise OutOfRange(f"a value exceeds 2**{LARGEST}, or is not a number")
    return x


def unchecked(x: Array) -> Array:
    """`x` itself, whose range is checked where it goes."""
    return x


def narrow(values: Exact) -> Array:
    """binary32 again: one more rounding to nearest even if the sums were binary64."""
    return values.astype(np.float32, copy=False)


def joined(parts: Sequence[Exact]) -> Exact:
    """The exact sum of a sum's spans: binary64 as soon as there are two."""
    first, *others = parts
    if not others:
        return first
    total = first.astype(np.float64)
    for part in others:
        total += part
    return total


class ExactWeights:
    """Weights that are multiplied, on grids that keep every sum exact, and the bias added after it.

    `rows` is [outputs, terms] in order of `spans`, `bias` [outputs] or None. Each output has its own grid: the finest
    2**-k, k <= FINEST_WEIGHT, on which the magnitudes of no span sum to more than 2**(total - activation) steps.
    Raises OutOfRange.
    """

    def __init__(
        self,
        rows: Array,
        bias: Array | None,
        widths: Widths,
        spans: Sequence[slice],
        device: Device,
    ) -> None:
        self._widths = widths
        self._device = device
        budget = widths.total - widths.activation
        finest = _finest_grids(rows.astype(np.float64), 2.0**budget, spans)
        self._reach = budget - int(finest.min()) + (len(spans) - 1).bit_length()
        self._check(0)
        kind = np.float32 if widths.total == 24 else np.float64
        self.grid: Exact = (_on_grids(rows, finest) if device.exact else rows).astype(kind)
        self.bias = None if bias is None else _checked_bias(bias).astype(kind)

    def round(self, x: Array) -> Exact:
        """Activations [m, k] on the grids that fit. Raises OutOfRange if a sum of them could leave the range."""
        rounded, exponent = self._device.round(x, self._widths.activation, self._widths.total)
        self._check(exponent)
        return rounded

    def finish(self, parts: Sequence[Exact], bias: Exact | None) -> Array:
        """Spans of sums, joined, with `bias` (this one's, shaped to fit) added and rounded once."""
        sums = joined(parts)
        if bias is not None:
            self._device.combine("add", sums, bias, out=sums)
        return narrow(sums)

    def _check(self, exponent: int) -> None:
        if exponent + self._reach >= LARGEST - 1:
            raise OutOfRange(f"weights that sum to 2**{self._reach} meet an activation too large for them")


def _checked_bias(bias: Array) -> Array:
    if not float(np.abs(bias).max()) <= 2.0 ** (LARGEST - 1):
        raise OutOfRange(f"a bias exceeds 2**{LARGEST - 1}")
    return bias.ravel()


def _on_grids(rows: Array, finest: NDArray[np.int64]) -> Wide:
    return np.ldexp(_steps(rows.astype(np.float64), finest), -finest[:, None])


def _steps(rows: Wide, finest: NDArray[np.int64]) -> Wide:
    return np.rint(np.ldexp(rows, finest[:, None]))


def _finest_grids(rows: Wide, budget: float, spans: Sequence[slice]) -> NDArray[np.int64]:
    """For each row the largest k <= FINEST_WEIGHT with sum |rint(w * 2**k)| <= budget: it grows with k, so bisect."""
    fits = np.full(len(rows), _COARSEST_WEIGHT)
    fails = np.full(len(rows), FINEST_WEIGHT + 1)
    begins = [span.start for span in spans]
    while np.any(fails - fits > 1):
        middle = (fits + fails) // 2
        sums = np.add.reduceat(np.abs(_steps(rows, middle)), begins, axis=1)
        good = sums.max(axis=1) <= budget
        fits = np.where(good, middle, fits)
        fails = np.where(good, fails, middle)
    return fits
