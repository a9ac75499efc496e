"""Windows over height and width, written for NumPy: unfolding for a convolution, taps for pools."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from heldout.kernels.cpu.grid import Exact
from heldout.kernels.operators import Window


def pad(x: Exact, window: Window, value: float) -> Exact:
    """`x` [n, c, height, width] with the window's paddings around it."""
    if window.begin + window.end == (0, 0, 0, 0):
        return x
    edges = ((0, 0), (0, 0), *zip(window.begin, window.end, strict=True))
    return np.pad(x, edges, constant_values=value)


def taps(x: Exact, window: Window) -> Iterator[Exact]:
    """For each cell of the window, what it sees at every place: views [n, c, out height, out width] of a padded `x`."""
    height, width = _places(x, window)
    down, across = window.strides
    for top, left in window.cells():
        yield x[:, :, top : top + (height - 1) * down + 1 : down, left : left + (width - 1) * across + 1 : across]


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
    inside = Window(window.kernel, window.strides, window.dilations, (0, 0), (0, 0))
    return inside.output(x.shape[2:])
