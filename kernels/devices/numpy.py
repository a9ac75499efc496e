"""The reference device: NumPy, on any CPU. Others inherit from it."""

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from heldout.kernels.devices.interface import Array, Exact, Wide
from heldout.kernels.errors import OutOfRange
from heldout.kernels.tables import ENTRIES, Table
from heldout.kernels.windows import Window

LARGEST = 100
"""No tensor holds a magnitude above 2**100."""
SMALLEST = -52
"""A grid is never chosen for a peak below 2**-52, so that no step of any sum is denormal (docs/score-v1.md, Grids)."""
_SMALLEST_PEAK = np.float32(2.0**SMALLEST)
TYPES: dict[int, type[np.float32 | np.float64]] = {24: np.float32, 53: np.float64}
"""In which a sum of so many bits is exact."""
CENTRE = np.float32(1.5 * 2**23)
"""Around it binary32 has the whole numbers only, and its bits count them."""
CENTRE_BITS = 0x4B400000


class NumpyDevice:
    name = "numpy"
    exact = True
    block = 1 << 18

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`."""
        product: Exact = np.matmul(left, right)
        return product

    def convolve(self, x: Exact, filters: Exact, window: Window, groups: int) -> Exact:
        """See `interface.Device`."""
        windows = unfold(pad(x, window, 0), window, groups)
        rows = filters.reshape(groups, len(filters) // groups, -1)
        return self.multiply(rows, windows).reshape(len(x), len(filters), *window.output(x.shape[2:]))

    def max_pool(self, x: Array, window: Window) -> Array:
        """See `interface.Device`."""
        first, *others = taps(pad(x, window, -np.inf), window)
        best = first.copy()
        for tap in others:
            np.maximum(best, tap, out=best)
        return best

    def combine(self, function: str, left: Exact, right: Exact, out: Exact | None = None) -> Exact:
        """See `interface.Device`."""
        result: Exact = getattr(np, function)(left, right, out=out)
        return result

    def round(self, x: Array, bits: int, total: int, axis: int = -1) -> tuple[Exact, int]:
        """See `interface.Device`."""
        rounded: Exact = np.empty_like(x, TYPES[total])
        largest = SMALLEST
        for rows in row_blocks(x.shape, self.block):
            block = rounded[rows]
            peaks = np.abs(x[rows], out=block).max(axis=axis, keepdims=True)
            magic, exponent = magic_numbers(peaks, bits, total)
            np.add(x[rows], magic, out=block)
            block -= magic
            largest = max(largest, exponent)
        return rounded, largest

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`. Adding the centre rounds to nearest even and leaves the place in the low bits."""
        scaled = np.multiply(x, np.float32(table.scale), dtype=np.float32)  # whole numbers too
        scaled += CENTRE
        np.clip(scaled, *bounds(table), out=scaled)
        places = scaled.view(np.int32)
        places -= CENTRE_BITS - table.offset
        found: Array = table.entries.take(places)
        return found

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """See `interface.Device`."""
        rounded, _ = self.round(x, bits, 24)
        sums = rounded.sum(axis=1, keepdims=True, dtype=sum_type(x.shape[1])).astype(np.float64)
        wide = rounded.astype(np.float64)
        return sums, np.vecdot(wide, wide)[:, None]

    def softmax(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        odds = self.look_up(table, x.max(axis=1, keepdims=True) - x)
        odds /= odds.sum(axis=1, keepdims=True, dtype=sum_type(x.shape[1])).astype(np.float32)
        return odds


def row_blocks(shape: tuple[int, ...], block: int) -> list[slice]:
    """Runs along the first axis, of about `block` values each."""
    rows, size = shape[0], max(1, block // max(1, prod(shape[1:])))
    return [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]


def bounds(table: Table) -> tuple[np.float32, np.float32]:
    """What a scaled value is brought within once the centre is added."""
    low = CENTRE - np.float32(table.offset)
    return low, low + np.float32(ENTRIES - 1)


def sum_type(entries: int) -> type[np.float32 | np.float64]:
    """A type in which a sum of so many numbers of at most 2**16 is exact."""
    return np.float32 if entries <= 256 else np.float64


def magic_numbers(peaks: Exact, bits: int, total: int) -> tuple[Exact, int]:
    """What rounds each vector to its grid when it is added and taken away again; and the largest exponent.

    Adding 1.5 * 2**(p-1) grid steps, p being the mantissa's bits, leaves no room for anything finer than one step: the
    addition itself rounds to nearest even, and taking the number away again is exact. A peak's exponent is read off its
    bits: adding all ones to a mantissa that is not zero carries into the exponent. Raises OutOfRange.
    """
    exponents = np.maximum(peaks.astype(np.float32, copy=False), _SMALLEST_PEAK).view(np.uint32)
    exponents += np.uint32(0x7FFFFF)
    exponents >>= np.uint32(23)
    largest = int(exponents.max()) - 127
    if largest > LARGEST:  # so are infinities and what is not a number
        raise OutOfRange(f"a value exceeds 2**{LARGEST}, or is not a number")
    if total == 24:
        exponents += np.uint32(total - 1 - bits)
        exponents <<= np.uint32(23)
        exponents |= np.uint32(1 << 22)
        return exponents.view(np.float32), largest
    return np.ldexp(1.5, exponents.astype(np.int32) + (total - 1 - bits - 127)), largest


# ------------------------------------------------------------------------------------------------------------ windows


def pad(x: Exact, window: Window, value: float) -> Exact:
    """`x` [n, c, height, width] with the window's paddings around it."""
    if not window.padded:
        return x
    edges = ((0, 0), (0, 0), *zip(window.begin, window.end, strict=True))
    return np.pad(x, edges, constant_values=value)


def taps(x: Exact, window: Window) -> Iterator[Exact]:
    """For each cell of the window, what it sees at every place: views [n, c, out height, out width] of a padded `x`."""
    height, width = _places(x, window)
    down, across = window.strides
    for top, left in window.offsets():
        yield x[
            :,
            :,
            top : top + (height - 1) * down + 1 : down,
            left : left + (width - 1) * across + 1 : across,
        ]


def unfold(x: Exact, window: Window, groups: int) -> Exact:
    """Every window of a padded `x` written out: [n, groups, channels of a group * window cells, places]."""
    rows, channels = x.shape[:2]
    height, width = _places(x, window)
    if window.kernel == window.strides == (1, 1):
        return x.reshape(rows, groups, channels // groups, height * width)
    per_row, per_channel, per_line, per_cell = x.strides
    view = as_strided(
        x,
        (rows, channels, *window.kernel, height, width),
        (
            per_row,
            per_channel,
            per_line * window.dilations[0],
            per_cell * window.dilations[1],
            per_line * window.strides[0],
            per_cell * window.strides[1],
        ),
        writeable=False,
    )
    return view.reshape(rows, groups, -1, height * width)


def _places(x: Exact, window: Window) -> tuple[int, int]:
    """Rows and columns of places in an `x` that is padded already."""
    return Window(window.kernel, window.strides, window.dilations).output(x.shape[2:])
