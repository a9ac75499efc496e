"""Operators that move values and change none: no rounding. Shapes are of a batch of one row."""

import math
from dataclasses import dataclass

from heldout.kernels.errors import BadGraph
from heldout.kernels.operators import broadcast
from heldout.kernels.windows import Shape


@dataclass(frozen=True)
class Reshape:
    """Reshape, Flatten, Squeeze, Unsqueeze or Identity: the same values in the same order."""

    shape: Shape

    def output(self, size: Shape) -> Shape:
        if math.prod(size) != math.prod(self.shape):
            raise BadGraph(f"a shape of {list(size)} cannot become {list(self.shape)}")
        return self.shape

    def operations(self, size: Shape) -> int:
        return 0


@dataclass(frozen=True)
class Transpose:
    order: tuple[int, ...]

    def output(self, size: Shape) -> Shape:
        if sorted(self.order) != list(range(len(size))):
            raise BadGraph(f"axes {list(self.order)} are no order of {list(size)}")
        return tuple(size[axis] for axis in self.order)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size))


@dataclass(frozen=True)
class Slice:
    """Along each axis, places from first to last (exclusive) in steps; Split is several of these."""

    ranges: tuple[tuple[int, int, int], ...]

    def output(self, size: Shape) -> Shape:
        shape = tuple(len(range(*each)) for each in self.ranges)
        if not all(shape):
            raise BadGraph(f"a slice of {list(size)} holds nothing")
        return shape

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size))


@dataclass(frozen=True)
class Take:
    """Gather with constant indices: `places` along an axis, in the shape `shape`."""

    axis: int
    places: tuple[int, ...]
    shape: Shape

    def output(self, size: Shape) -> Shape:
        return (*size[: self.axis], *self.shape, *size[self.axis + 1 :])

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size))


@dataclass(frozen=True)
class Concat:
    axis: int

    def output(self, *sizes: Shape) -> Shape:
        axis, first = self.axis, sizes[0]
        if any(size[:axis] + size[axis + 1 :] != first[:axis] + first[axis + 1 :] for size in sizes):
            raise BadGraph(f"shapes {', '.join(str(list(size)) for size in sizes)} cannot be joined along axis {axis}")
        return (*first[:axis], sum(size[axis] for size in sizes), *first[axis + 1 :])

    def operations(self, *sizes: Shape) -> int:
        return math.prod(self.output(*sizes))


@dataclass(frozen=True)
class Expand:
    shape: Shape

    def output(self, size: Shape) -> Shape:
        return broadcast(size, self.shape)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size))
