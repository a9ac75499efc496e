"""What a scored graph is made of: one record per operator, with the shapes it gives and the operations it costs.

Nothing here computes. A device (`heldout.kernels.device`) gives each record its one exact meaning, as docs/score-v0.md
states it. Shapes are those of one row: the batch is not part of the graph.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from heldout.kernels.errors import BadGraph

Shape = tuple[int, ...]

_MOST_ACTIVATION_BITS = {24: 16, 53: 24}


@dataclass(frozen=True)
class Widths:
    """How many bits an exact sum may use, and how many of them are the activations'.

    An activation is an integer of at most 2**activation; the weights that meet in one sum get the largest power-of-two
    scale at which their magnitudes sum to at most 2**(total - activation). So every partial sum, in any order, is an
    integer of at most 2**total: exact in binary32 for 24 bits, in binary64 for 53.
    """

    activation: int
    total: int = 24

    def __post_init__(self) -> None:
        if not 4 <= self.activation <= _MOST_ACTIVATION_BITS.get(self.total, 0):
            raise BadGraph(f"widths [{self.activation}, {self.total}]: allowed are [4 to 16, 24] and [4 to 24, 53]")


FULL = Widths(24, 53)
"""Widths of operators whose sums are short: their rounding is then that of binary32 itself."""


def default_widths(terms: int) -> Widths:
    """Widths for sums of `terms` products: half a bit less for activations with each doubling of the terms.

    That balances the rounding errors of activations and weights: 0.05 % of the output's spread for 9 terms, 0.2 % for
    64, 0.5 % for 576, 1.5 % for 4096, measured on normal values.
    """
    return Widths(max(6, 13 - (terms - 1).bit_length() // 2))


@dataclass(frozen=True)
class Window:
    """A sliding window over height and width. Pairs are (height, width); `begin` and `end` are paddings."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    begin: tuple[int, int]
    end: tuple[int, int]

    def output(self, size: Shape) -> tuple[int, int]:
        """Height and width of the result. Raises BadGraph if the window does not fit once."""
        height, width = (self._length(size[axis], axis) for axis in (0, 1))
        return height, width

    def cells(self) -> Iterator[tuple[int, int]]:
        """The offset of each cell of the window in the padded input, down and across."""
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                yield row * self.dilations[0], column * self.dilations[1]

    def _length(self, size: int, axis: int) -> int:
        reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
        free = size + self.begin[axis] + self.end[axis] - reach
        if free < 0:
            raise BadGraph(f"a window of {reach} does not fit in {size} with its padding")
        return free // self.strides[axis] + 1


@dataclass(frozen=True)
class Linear:
    """Gemm, or MatMul with a matrix of weights: the input's last axis against `weight`, [in, out] or transposed."""

    weight: str
    bias: str | None
    transposed: bool
    terms: int
    outputs: int
    widths: Widths

    def output(self, size: Shape) -> Shape:
        if not size or size[-1] != self.terms:
            raise BadGraph(f"a matrix of {self.terms} rows cannot follow a shape of {list(size)}")
        return (*size[:-1], self.outputs)

    def operations(self, size: Shape) -> int:
        return math.prod(size) * self.outputs


@dataclass(frozen=True)
class Convolution:
    """Conv over height and width; `weight` is [out, in / groups, kernel height, kernel width]."""

    weight: str
    bias: str | None
    window: Window
    groups: int
    channels: int
    outputs: int
    widths: Widths

    @property
    def terms(self) -> int:
        return self.channels // self.groups * math.prod(self.window.kernel)

    def unfolded(self, output: Shape) -> int:
        """Elements of the input once every window is written out, for an output of this shape."""
        return self.terms * self.groups * math.prod(output[1:])

    def output(self, size: Shape) -> Shape:
        if len(size) != 3 or size[0] != self.channels:
            raise BadGraph(f"a convolution over {self.channels} channels cannot follow a shape of {list(size)}")
        return (self.outputs, *self.window.output(size[1:]))

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size)) * self.terms


@dataclass(frozen=True)
class BatchNormalization:
    """Scale and shift per channel, by statistics that are part of the weights."""

    scale: str
    bias: str
    mean: str
    variance: str
    epsilon: float
    channels: int

    def output(self, size: Shape) -> Shape:
        if not size or size[0] != self.channels:
            raise BadGraph(f"a normalization of {self.channels} channels cannot follow a shape of {list(size)}")
        return size

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class MaxPool:
    window: Window

    def output(self, size: Shape) -> Shape:
        return _pooled(self.window, size)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size)) * math.prod(self.window.kernel)


@dataclass(frozen=True)
class AveragePool:
    """Mean over a window; padding counts as cells of value zero only if `count_padding`."""

    window: Window
    count_padding: bool

    def output(self, size: Shape) -> Shape:
        return _pooled(self.window, size)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size)) * math.prod(self.window.kernel)


@dataclass(frozen=True)
class GlobalAveragePool:
    def output(self, size: Shape) -> Shape:
        if len(size) < 2:
            raise BadGraph(f"a global average cannot follow a shape of {list(size)}")
        return (size[0], *(1 for _ in size[1:]))

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class Relu:
    def output(self, size: Shape) -> Shape:
        return size

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class AddConstant:
    """A weight added to each row: a bias. Its shape broadcasts to the row's."""

    weight: str
    shape: Shape

    def output(self, size: Shape) -> Shape:
        tail = size[len(size) - len(self.shape) :]
        if len(self.shape) > len(size) or any(
            mine not in (1, other) for mine, other in zip(self.shape, tail, strict=True)
        ):
            raise BadGraph(f"a weight of shape {list(self.shape)} cannot be added to a shape of {list(size)}")
        return size

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class AddTensors:
    """The sum of two computed tensors of one shape: a residual connection."""

    def output(self, size: Shape, other: Shape = ()) -> Shape:
        if size != other:
            raise BadGraph(f"shapes {list(size)} and {list(other)} cannot be added")
        return size

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class Reshape:
    """Reshape, Flatten or Identity: the same values in the same order; `shape` is of one row."""

    shape: Shape

    def output(self, size: Shape) -> Shape:
        if math.prod(size) != math.prod(self.shape):
            raise BadGraph(f"a shape of {list(size)} cannot become {list(self.shape)}")
        return self.shape

    def operations(self, size: Shape) -> int:
        return 0


Operator = (
    Linear
    | Convolution
    | BatchNormalization
    | MaxPool
    | AveragePool
    | GlobalAveragePool
    | Relu
    | AddConstant
    | AddTensors
    | Reshape
)


def _pooled(window: Window, size: Shape) -> Shape:
    if len(size) != 3:
        raise BadGraph(f"a pool over height and width cannot follow a shape of {list(size)}")
    return (size[0], *window.output(size[1:]))
