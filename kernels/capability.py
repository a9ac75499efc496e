"""Work that shows what a machine can: drawn from a seed, timed, and with one right result, known by its hash.

    multiply   two n x n matrices of whole numbers from -64 to 63: 2 n**3 operations; no partial sum exceeds 2**24
    add        two vectors of 32-bit numbers, modulo 2**32: 12 bytes moved for each sum
    copy       a vector of 32-bit numbers: 8 bytes moved for each number

Results are hashed as 32-bit little-endian numbers, row by row. A result proves that the work was done by somebody; how
long it took, and on what, is the word of whoever signs it (heldout.market.capability).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256, shake_256
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array
from heldout.kernels.devices.workbench import Whole, Workbench

SIDES = (256, 512, 1024, 2048, 4096)
VECTOR = 1 << 23
"""Numbers in a vector: 32 MiB, more than caches hold."""
LEAST_S = 0.25
"""The largest product is the first that takes so long; all work is repeated until it takes about that."""
MOST_REPEATS = 1000
_CHALLENGES = 4
_CHALLENGE_BITS = 16

Run = Callable[[int], tuple[NDArray[Any], float]]


@dataclass(frozen=True)
class Task:
    """`repeats` runs of one piece of work took `nanoseconds`; `size` is n, or the length of the vectors."""

    kind: str
    size: int
    repeats: int
    nanoseconds: int
    sha256: str


def measure(bench: Workbench, seed: bytes) -> Iterator[tuple[Task, bytes]]:
    """The smallest product, the first that takes long, a sum and a copy; each with its result."""
    for size in SIDES:
        run = partial(bench.time_multiply, *matrices(seed, size))
        last = size == SIDES[-1] or run(1)[1] >= LEAST_S
        if last or size == SIDES[0]:
            yield _timed("multiply", size, run)
        if last:
            break
    left, right = vectors(seed)
    yield _timed("add", VECTOR, partial(bench.time_add, left, right))
    yield _timed("copy", VECTOR, partial(bench.time_copy, left))


def is_right(task: Task, seed: bytes, result: bytes | None = None) -> bool:
    """Whether the work has this result: computed again on this CPU, or, for a product that is given, checked."""
    match task.kind:
        case "multiply" if task.size in SIDES and result is not None:
            return sha256(result).hexdigest() == task.sha256 and is_product(*matrices(seed, task.size), result)
        case "multiply" if task.size in SIDES:
            again = _encoded(np.matmul(*matrices(seed, task.size)))
        case "add" if task.size == VECTOR:
            again = _encoded(np.add(*vectors(seed)))
        case "copy" if task.size == VECTOR:
            again = _encoded(vectors(seed)[0])
        case _:
            return False
    return sha256(again).hexdigest() == task.sha256


def is_product(left: Array, right: Array, result: bytes) -> bool:
    """Freivalds' check, A(Br) = Cr for random r, in n**2 steps: one wrong product in 2**64 passes.

    No sum exceeds 2**52, so binary64 is exact. R. Freivalds, "Probabilistic machines can use less running time", 1977.
    """
    size = len(left)
    if len(result) != 4 * size * size:
        return False
    product = np.frombuffer(result, "<i4").reshape(size, size).astype(np.float64)
    if np.abs(product).max() > 2**24:
        return False
    challenges = np.random.default_rng().integers(0, 1 << _CHALLENGE_BITS, (size, _CHALLENGES)).astype(np.float64)
    return np.array_equal(left.astype(np.float64) @ (right.astype(np.float64) @ challenges), product @ challenges)


def matrices(seed: bytes, size: int) -> tuple[Array, Array]:
    """Two square matrices of whole numbers from -64 to 63."""
    left, right = (_drawn(seed, f"{side} {size}", size * size) for side in ("left", "right"))
    shape = (size, size)
    return (left >> 1).astype(np.float32).reshape(shape) - 64, (right >> 1).astype(np.float32).reshape(shape) - 64


def vectors(seed: bytes) -> tuple[Whole, Whole]:
    """Two vectors of 32-bit numbers."""
    left, right = (_drawn(seed, f"{side} vector", 4 * VECTOR).view("<u4") for side in ("left", "right"))
    return left.astype(np.uint32), right.astype(np.uint32)


def _drawn(seed: bytes, label: str, count: int) -> NDArray[np.uint8]:
    """SHAKE-256 of seed and label."""
    return np.frombuffer(shake_256(seed + label.encode()).digest(count), np.uint8)


def _timed(kind: str, size: int, run: Run) -> tuple[Task, bytes]:
    _, once = run(1)
    repeats = min(MOST_REPEATS, ceil(LEAST_S / max(once, 1e-9)))
    result, seconds = run(repeats)
    encoded = _encoded(result)
    return Task(kind, size, repeats, max(1, round(seconds * 1e9)), sha256(encoded).hexdigest()), encoded


def _encoded(result: NDArray[Any]) -> bytes:
    return result.astype("<u4" if result.dtype == np.uint32 else "<i4").tobytes()
