"""PyTorch on the CPU: the bits of NumPy, faster at windows and at passes over memory.

Tensors share NumPy's memory, so going back and forth costs nothing. NNPACK, which multiplies by transforms of Winograd
and Fourier, stays off: its sums are not those that are exact.
"""

from typing import Any

import numpy as np
import torch

from heldout.kernels.devices.interface import Array, Exact, Wide
from heldout.kernels.devices.numpy import (
    NumpyDevice,
    magic_numbers,
    peak_exponents,
    row_blocks,
    sum_type,
)
from heldout.kernels.tables import ENTRIES, Table
from heldout.kernels.windows import Window

_UNIT = float(1 << 23)
"""From here to twice as much, binary32 has whole numbers only, and its low bits count them."""
_UNIT_BITS = 0x4B000000


class TorchDevice(NumpyDevice):
    name = "torch"

    def __init__(self) -> None:
        torch.backends.nnpack.set_flags(False)
        torch.set_float32_matmul_precision("highest")
        self._entries: dict[str, Any] = {}

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`."""
        with torch.inference_mode():
            return _array(torch.matmul(torch.from_numpy(left), torch.from_numpy(right)))

    def convolve(self, x: Exact, filters: Exact, window: Window, groups: int) -> Exact:
        """See `interface.Device`. torch pads alike on both sides: other paddings are written out first."""
        with torch.inference_mode():
            source, padding = torch.from_numpy(x), window.begin
            if window.begin != window.end:
                (top, left), (bottom, right) = window.begin, window.end
                source, padding = (
                    torch.nn.functional.pad(source, (left, right, top, bottom)),
                    (0, 0),
                )
            weights = torch.from_numpy(filters)
            return _array(
                torch.conv2d(
                    source,
                    weights,
                    None,
                    window.strides,
                    padding,
                    window.dilations,
                    groups,
                )
            )

    def round(self, x: Array, bits: int, total: int) -> tuple[Exact, int]:
        """See `interface.Device`. A block of rows stays in the cache from one pass to the next."""
        with torch.inference_mode():
            source, blocks = torch.from_numpy(x), row_blocks(*x.shape)
            exponents = peak_exponents(np.concatenate([_array(source[rows].abs().amax(1)) for rows in blocks]))
            magic = torch.from_numpy(magic_numbers(exponents, bits, total))
            rounded = torch.empty(x.shape, dtype=magic.dtype)
            for rows in blocks:
                torch.add(source[rows], magic[rows], out=rounded[rows])
                rounded[rows].sub_(magic[rows])
            return _array(rounded), int(exponents.max())

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`. Adding 2**23 + offset rounds to nearest even and leaves the place in the low bits."""
        entries = self._entries.get(table.name)
        if entries is None:
            entries = self._entries[table.name] = torch.from_numpy(np.array(table.entries))
        low, high = float(-table.offset), float(ENTRIES - 1 - table.offset)
        with torch.inference_mode():
            scaled = torch.from_numpy(x).mul(table.scale).clamp_(low, high).add_(_UNIT + table.offset)
            places = scaled.view(torch.int32).sub_(_UNIT_BITS).reshape(-1)
            return _array(torch.index_select(entries, 0, places).view(x.shape))

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """See `interface.Device`."""
        rounded, _ = self.round(x, bits, 24)
        with torch.inference_mode():
            wide = torch.from_numpy(rounded).double()
            return _array(wide.sum(1, keepdim=True)), _array(wide.square_().sum(1, keepdim=True))

    def softmax(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        with torch.inference_mode():
            source = torch.from_numpy(x)
            odds = torch.from_numpy(self.look_up(table, _array(source.amax(1, keepdim=True) - source)))
            exact = torch.float32 if sum_type(x.shape[1]) is np.float32 else torch.float64
            return _array(odds.div_(odds.sum(1, keepdim=True, dtype=exact).float()))


def _array(tensor: Any) -> Exact:
    result: Exact = tensor.numpy()
    return result
