"""The functions of score-v1 that are tables: files of 65,536 binary32 values, little-endian, known by their hashes.

Building them needs exp and erf to 50 digits (`tests/score_tables.py` does it with `decimal`), reading them needs
nothing, so no maths library has a say in a score. docs/score-v1.md, "Tables", lists scales and hashes.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.errors import SelfTestFailed

ENTRIES = 1 << 16
_HALF = ENTRIES // 2


@dataclass(frozen=True, eq=False)
class Table:
    """Entry i holds the function at (i - offset) / scale, rounded to nearest."""

    name: str
    scale: float
    offset: int
    entries: NDArray[np.float32]


_KNOWN: dict[str, tuple[int, int, str]] = {}


@cache
def table(name: str) -> Table:
    """Raises SelfTestFailed if the installed file is not the one that score-v1 is made of."""
    scale, offset, digest = _KNOWN[name]
    data = (files("heldout.kernels") / "tables" / f"{name}.f32").read_bytes()
    if sha256(data).hexdigest() != digest:
        raise SelfTestFailed(f"table {name} is damaged: install again")
    return Table(name, float(scale), offset, np.frombuffer(data, "<f4").astype(np.float32, copy=False))
