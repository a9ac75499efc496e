"""Float32 as everybody computes it: the same graph with no grids and no tables, to tell what score-v1 changes.

Only `job check` uses it. Its sums depend on the machine, so nothing is ever voted on them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from heldout.kernels.devices.interface import Array, Exact, Wide
from heldout.kernels.devices.numpy import NumpyDevice, magic_numbers
from heldout.kernels.tables import Table

_erf = np.vectorize(math.erf, [np.float64])


def _normal(x: Array) -> Any:
    return (1 + _erf(x * math.sqrt(0.5))) / 2


def _sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


_FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": _erf,
    "gelu": _normal,
    "gelu_tanh": lambda x: (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "exp": lambda x: np.exp(-x) * 65536,
}


class PlainDevice(NumpyDevice):
    name = "float32"
    exact = False

    def round(self, x: Array, bits: int, total: int, axis: int = -1) -> tuple[Exact, int]:
        """Checks the range and rounds nothing."""
        return x, magic_numbers(np.abs(x).max(axis=axis, keepdims=True), bits, total)[1]

    def moments(self, x: Array, bits: int) -> tuple[Wide, Wide]:
        """Of the values as they are, so in binary64."""
        wide = x.astype(np.float64)
        return wide.sum(axis=1, keepdims=True), np.vecdot(wide, wide)[:, None]

    def look_up(self, table: Table, x: Array) -> Array:
        """The function itself."""
        result: Array = np.asarray(_FUNCTIONS[table.name](x)).astype(np.float32)
        return result
