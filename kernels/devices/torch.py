"""PyTorch on the CPU: the bits of NumPy, faster at windows and at passes over memory.

Tensors share NumPy's memory, so going back and forth costs nothing. NNPACK, which multiplies by transforms of Winograd
and Fourier, stays off: its sums are not those that are exact.
"""

from typing import Any

import numpy as np
import torch

from heldout.kernels.devices.interface import Array, Exact, Wide
from heldout.kernels.devices.numpy import (
    CENTRE,
    CENTRE_BITS,
    SMALLEST,
    NumpyDevice,
    bounds,
    magic_numbers,
    row_blocks,
    sum_type,
)
from heldout.kernels.tables import Table
from heldout.kernels.windows import Window

_SMALL = 1 << 18
"""Multiplications in a product of two matrices up to which one call for each of a batch is faster than torch's."""
_TYPES = {24: torch.float32, 53: torch.float64, np.float32: torch.float32, np.float64: torch.float64}


class TorchDevice(NumpyDevice):
    name = "torch"

    def __init__(self) -> None:
        backends: Any = torch.backends  # where torch is installed, it says no types for this
        backends.nnpack.set_flags(False)
        torch.set_float32_matmul_precision("highest")
        self._centre = torch.tensor(CENTRE)
        self._entries: dict[str, Any] = {}

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`."""
        if right.ndim > 2 and left.shape[-2] * left.shape[-1] * right.shape[-1] <= _SMALL:
            return super().multiply(left, right)
        with torch.inference_mode():
            return _array(torch.matmul(_tensor(left), _tensor(right)))

    def convolve(self, x: Exact, filters: Exact, window: Window, groups: int) -> Exact:
        """See `interface.Device`. torch pads alike on both sides: other paddings are written out first."""
        with torch.inference_mode():
            source, padding = _tensor(x), window.begin
            if window.begin != window.end:
                (top, left), (bottom, right) = window.begin, window.end
                source, padding = (
                    torch.nn.functional.pad(source, (left, right, top, bottom)),
                    (0, 0),
                )
            weights = _tensor(filters)
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

    def combine(self, function: str, left: Exact, right: Exact, out: Exact | None = None) -> Exact:
        """See `interface.Device`."""
        with torch.inference_mode():
            result = None if out is None else torch.from_numpy(out)
            return _array(getattr(torch, function)(_tensor(left), _tensor(right), out=result))

    def round(self, x: Array, bits: int, total: int, axis: int = -1) -> tuple[Exact, int]:
        """See `interface.Device`."""
        with torch.inference_mode():
            source = _tensor(x)
            rounded = torch.empty_like(source, dtype=_TYPES[total])
            largest = SMALLEST
            for rows in row_blocks(x.shape, self.block):
                values, block = source[rows], rounded[rows]
                room = block if total == 24 else None  # written over soon
                peaks = torch.abs(values, out=room).amax(axis, keepdim=True)
                numbers, exponent = magic_numbers(_array(peaks), bits, total)
                magic = torch.from_numpy(numbers)
                torch.add(values, magic, out=block).sub_(magic)
                largest = max(largest, exponent)
            return _array(rounded), largest

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`. Multiplying by a power of two is exact, so adding at once rounds no less."""
        entries = self._entries.get(table.name)
        if entries is None:
            entries = self._entries[table.name] = torch.from_numpy(np.array(table.entries))
        low, high = map(float, bounds(table))
        with torch.inference_mode():
            scaled = torch.add(self._centre, _tensor(np.ascontiguousarray(x)), alpha=table.scale).clamp_(low, high)
            places = scaled.view(torch.int32).sub_(CENTRE_BITS - table.offset).view(-1)
            return _array(torch.index_select(entries, 0, places).view(x.shape))

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """See `interface.Device`."""
        rounded = torch.from_numpy(self.round(x, bits, 24)[0])
        with torch.inference_mode():
            wide = _array(rounded.double())
            sums = rounded.sum(1, keepdim=True, dtype=_TYPES[sum_type(x.shape[1])]).double()
            return _array(sums), np.vecdot(wide, wide)[:, None]

    def softmax(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        with torch.inference_mode():
            source = _tensor(x)
            odds = torch.from_numpy(self.look_up(table, _array(source.amax(1, keepdim=True) - source)))
            total = odds.sum(1, keepdim=True, dtype=_TYPES[sum_type(x.shape[1])])
            return _array(odds.div_(total.float()))


def _tensor(array: Exact) -> Any:
    """The same memory, unless it must not be written to, which torch cannot promise."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _array(tensor: Any) -> Exact:
    result: Exact = tensor.numpy()
    return result
