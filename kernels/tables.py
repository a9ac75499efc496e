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


@dataclass(frozen=True, eq=False)
class Table:
    """Entry i holds the function at (i - offset) / scale, rounded to nearest."""

    name: str
    scale: float
    offset: int
    entries: NDArray[np.float32]


_KNOWN: dict[str, tuple[int, int, str]] = {
    "sigmoid": (2048, 32768, "be98db4312a57774155894a52a28ea97cfc23dc49fa7efe50585bd82337a2383"),
    "tanh": (4096, 32768, "5092dd0a2898d168884d80750d33e64988ac227294c58214a00738c2bd4d22d3"),
    "erf": (8192, 32768, "0be2a453b0fa0d5c8335ee47a5ba5957ae5b2b7d1b0585d23b99711656d40fa7"),
    "gelu": (4096, 32768, "6f81d1b4363f2468f27f1c415b989bf11a7daa5ce58731fd6c5112d104507a25"),
    "gelu_tanh": (4096, 32768, "eda9164664acf6e731521dbc9ef6c61be994e45c3f9a2a0d8ce9dbba92921b84"),
    "exp": (2048, 0, "e6b12e9b175d097c80b49a244909627e5e9571d5a2076cc694927e691a776791"),
}
"""Scale, offset and SHA-256 of each."""


@cache
def table(name: str) -> Table:
    """Raises SelfTestFailed if the installed file is not the one that score-v1 is made of."""
    scale, offset, digest = _KNOWN[name]
    data = (files("heldout.kernels") / "functions" / f"{name}.f32").read_bytes()
    if sha256(data).hexdigest() != digest:
        raise SelfTestFailed(f"table {name} is damaged: install again")
    return Table(name, float(scale), offset, np.frombuffer(data, "<f4").astype(np.float32, copy=False))
