"""Values that move and do not change."""

import numpy as np

from heldout.kernels.engine.sums import Step, aligned
from heldout.kernels.graph import Move
from heldout.kernels.moves import Concat, Expand, Reshape, Slice, Take, Transpose


def move(operator: Move) -> Step:
    match operator:
        case Reshape(shape=shape):
            return lambda x: x.reshape(len(x), *shape)
        case Transpose(order=order):
            return lambda x: x.transpose(0, *(axis + 1 for axis in order))
        case Slice(ranges=ranges):
            return lambda x: x[(slice(None), *(slice(*each) for each in ranges))]
        case Take(axis=axis, places=places, shape=shape):
            chosen = np.array(places, np.intp).reshape(shape)
            return lambda x: x.take(chosen, axis=axis + 1)
        case Concat(axis=axis):
            return lambda *parts: np.concatenate(_alike(parts), axis=axis + 1)
        case Expand(shape=shape):
            return lambda x: np.broadcast_to(
                aligned(x, 1 + max(len(shape), x.ndim - 1)),
                (len(x), *operator.output(x.shape[1:])),
            )


def _alike(parts: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Parts with as many rows as the longest: what does not depend on the row is repeated."""
    rows = max(map(len, parts))
    return [np.broadcast_to(part, (rows, *part.shape[1:])) for part in parts]
