"""The reference device: NumPy, on any CPU. Others inherit from it."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from heldout.kernels.devices.interface import Array, Exact, Wide
from heldout.kernels.errors import OutOfRange
from heldout.kernels.tables import ENTRIES, Table
from heldout.kernels.windows import Window

LARGEST = 100
"""No tensor holds a magnitude above 2**100."""
SMALLEST = -60
"""A grid is never chosen for a peak below 2**-60: nothing becomes denormal."""
BLOCK = 1 << 18
"""Values that several passes go over while they are in the cache."""
_MANTISSA: dict[int, type[np.float32 | np.float64]] = {24: np.float32, 53: np.float64}


class NumpyDevice:
    name = "numpy"
    exact = True

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

    def round(self, x: Array, bits: int, total: int) -> tuple[Exact, int]:
        """See `interface.Device`."""
        blocks = row_blocks(*x.shape)
        exponents = peak_exponents(np.concatenate([np.abs(x[rows]).max(axis=1) for rows in blocks]))
        magic = magic_numbers(exponents, bits, total)
        rounded: Exact = np.empty(x.shape, magic.dtype)
        for rows in blocks:
            np.add(x[rows], magic[rows], out=rounded[rows])
            rounded[rows] -= magic[rows]
        return rounded, int(exponents.max())

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        scaled = np.clip(x * np.float32(table.scale), -table.offset, ENTRIES - 1 - table.offset)
        places = np.rint(scaled, out=scaled).astype(np.intp)
        places += table.offset
        found: Array = table.entries.take(places)
        return found

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """See `interface.Device`."""
        wide = self.round(x, bits, 24)[0].astype(np.float64)
        return wide.sum(axis=1, keepdims=True), np.einsum("ij,ij->i", wide, wide)[:, None]

    def softmax(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        odds = self.look_up(table, x.max(axis=1, keepdims=True) - x)
        odds /= odds.sum(axis=1, keepdims=True, dtype=sum_type(x.shape[1])).astype(np.float32)
        return odds


def row_blocks(rows: int, width: int) -> list[slice]:
    """Runs of rows that fit in a processor's cache together."""
    size = max(1, BLOCK // width)
    return [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]


def sum_type(entries: int) -> type[np.float32 | np.float64]:
    """A type in which a sum of so many numbers of at most 2**16 is exact."""
    return np.float32 if entries <= 256 else np.float64


def peak_exponents(peaks: Array) -> Exact:
    """For each peak the least integer e >= SMALLEST with peak <= 2**e, int32. Raises OutOfRange.

    Read off binary32's bits: adding all ones to a mantissa that is not zero carries into the exponent.
    """
    if not (peaks <= 2.0**LARGEST).all():
        raise OutOfRange(f"a value exceeds 2**{LARGEST}, or is not a number")
    exponents: Exact = np.maximum(peaks, np.float32(2.0**SMALLEST)).view(np.int32) + 0x7FFFFF
    exponents >>= 23
    exponents -= 127
    return exponents


def magic_numbers(exponents: Exact, bits: int, total: int) -> Exact:
    """What rounds each row to its grid when it is added and taken away again, [m, 1].

    Adding 1.5 * 2**(p-1) grid steps, p being the mantissa's bits, leaves no room for anything finer than one step: the
    addition itself rounds to nearest even, and taking the number away again is exact.
    """
    magic: Exact = np.ldexp(1.5, total - 1 - bits + exponents).astype(_MANTISSA[total])
    return magic[:, None]


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
