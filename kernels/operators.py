"""What a scored graph is made of: one record per operator, with the shapes it gives and the operations it costs.

Nothing here computes. The engine (`heldout.kernels.engine`) gives each record its one exact meaning, as
docs/score-v1.md states it. Shapes are ONNX's for a batch of one row. Records that only move values are in `moves`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heldout.kernels.errors import BadGraph
from heldout.kernels.windows import Shape, Window

SPAN = 1024
"""A sum over weights in 24 bits is made in spans of at most so many terms."""
PRODUCT_SPAN = 64
"""The same for a product of two computed tensors."""
MOST_CELLS = 1 << 16
"""The most values one mean is made of."""
MOST_NORMALIZED = 1 << 21
"""The most values one LayerNormalization spans: their squares, of 32 bits, then sum to at most 2**53."""

_MOST_ACTIVATION_BITS = {24: 16, 53: 24}


@dataclass(frozen=True)
class Widths:
    """How many bits an exact sum may use, and how many of them are the activations'.

    An activation is an integer of at most 2**activation; the weights that meet in one span of a sum get the largest
    power-of-two scale at which their magnitudes sum to at most 2**(total - activation). So every partial sum, in any
    order, is an integer of at most 2**total: exact in binary32 for 24 bits, in binary64 for 53.
    """

    activation: int
    total: int = 24

    def __post_init__(self) -> None:
        if not 4 <= self.activation <= _MOST_ACTIVATION_BITS.get(self.total, 0):
            raise BadGraph(f"widths [{self.activation}, {self.total}]: allowed are [4 to 16, 24] and [4 to 24, 53]")


def default_widths(terms: int) -> Widths:
    """Widths for sums of `terms` products: half a bit less for activations with each doubling of the terms.

    That balances the rounding errors of activations and weights: 0.05 % of the output's spread for 9 terms, 0.2 % for
    64, 0.5 % for 576, measured on normal values. From SPAN terms on they stay what they are.
    """
    return Widths(13 - (min(terms, SPAN) - 1).bit_length() // 2)


def product_bits(terms: int) -> int:
    """Bits of either side in a product of two computed tensors."""
    return min(11, (24 - (min(terms, PRODUCT_SPAN) - 1).bit_length()) // 2)


def mean_bits(cells: int) -> int:
    """Bits of the values in a mean, so that a sum of them has at most 24."""
    return 24 - max(2, (cells - 1).bit_length())


def spans(terms: int, most: int) -> tuple[slice, ...]:
    """Places 0 … terms - 1 in runs of `most`."""
    return tuple(slice(begin, min(begin + most, terms)) for begin in range(0, terms, most))


@dataclass(frozen=True)
class Linear:
    """Gemm, or MatMul with a matrix of weights: the last axis against `weight`, [in, out] or transposed."""

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
class MatMul:
    """The product of two computed tensors: attention."""

    def output(self, left: Shape, right: Shape = ()) -> Shape:
        if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
            raise BadGraph(f"shapes {list(left)} and {list(right)} cannot be multiplied")
        return (*broadcast(left[:-2], right[:-2]), left[-2], right[-1])

    def operations(self, left: Shape, right: Shape = ()) -> int:
        return math.prod(self.output(left, right)) * left[-1]


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
        return self.channels // self.groups * self.window.cells

    @property
    def spans(self) -> tuple[slice, ...]:
        """Channels of a group, in runs whose windows have at most SPAN terms."""
        most = SPAN // self.window.cells if self.widths.total == 24 else self.channels
        return spans(self.channels // self.groups, most)

    def unfolded(self, output: Shape) -> int:
        """Elements of the input once every window is written out, for an output of this shape."""
        return self.terms * self.groups * math.prod(output[2:])

    def output(self, size: Shape) -> Shape:
        if len(size) != 4 or size[1] != self.channels:
            raise BadGraph(f"a convolution over {self.channels} channels cannot follow a shape of {list(size)}")
        return (size[0], self.outputs, *self.window.output(size[2:]))

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
        if len(size) < 2 or size[1] != self.channels:
            raise BadGraph(f"a normalization of {self.channels} channels cannot follow a shape of {list(size)}")
        return size

    def operations(self, size: Shape) -> int:
        return 2 * math.prod(size)


@dataclass(frozen=True)
class LayerNormalization:
    """Each vector of the last axes, `size` values, brought to mean 0 and variance 1, then scaled and shifted."""

    scale: str
    bias: str | None
    size: int
    epsilon: float

    def output(self, size: Shape) -> Shape:
        return size

    def operations(self, size: Shape) -> int:
        return 6 * math.prod(size)


@dataclass(frozen=True)
class MaxPool:
    window: Window

    def output(self, size: Shape) -> Shape:
        return _pooled(self.window, size)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size)) * self.window.cells


@dataclass(frozen=True)
class AveragePool:
    """Mean over a window; padding counts as cells of value zero only if `count_padding`."""

    window: Window
    count_padding: bool

    def output(self, size: Shape) -> Shape:
        return _pooled(self.window, size)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size)) * self.window.cells


@dataclass(frozen=True)
class Mean:
    """GlobalAveragePool or ReduceMean: the mean over `axes`, which stay with size 1 if `keep`."""

    axes: tuple[int, ...]
    keep: bool

    def cells(self, size: Shape) -> int:
        return math.prod(size[axis] for axis in self.axes)

    def output(self, size: Shape) -> Shape:
        if self.cells(size) > MOST_CELLS:
            raise BadGraph(f"a mean of {self.cells(size)} values: at most {MOST_CELLS} are defined")
        return tuple(1 if i in self.axes else n for i, n in enumerate(size) if self.keep or i not in self.axes)

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class Softmax:
    """Over the last axis; its logarithm if `log`."""

    log: bool = False

    def output(self, size: Shape) -> Shape:
        return size

    def operations(self, size: Shape) -> int:
        return 4 * math.prod(size)


@dataclass(frozen=True)
class Pointwise:
    """A function of each value: relu, leaky_relu (with `slope`), neg, sqrt, gelu, gelu_tanh, or a table's name."""

    function: str
    slope: float = 0.0

    def output(self, size: Shape) -> Shape:
        return size

    def operations(self, size: Shape) -> int:
        return math.prod(size)


@dataclass(frozen=True)
class Arithmetic:
    """`add`, `subtract`, `multiply` or `divide`, each rounded once; shapes broadcast."""

    function: str

    def output(self, left: Shape, right: Shape = ()) -> Shape:
        return broadcast(left, right)

    def operations(self, left: Shape, right: Shape = ()) -> int:
        return math.prod(self.output(left, right))


@dataclass(frozen=True)
class Select:
    """Where with a condition the graph fixes: the first tensor where it holds, else the second."""

    condition: str
    shape: Shape

    def output(self, left: Shape, right: Shape = ()) -> Shape:
        return broadcast(self.shape, left, right)

    def operations(self, left: Shape, right: Shape = ()) -> int:
        return math.prod(self.output(left, right))


@dataclass(frozen=True)
class Embedding:
    """Rows of the matrix `weight` [entries, size], chosen by whole numbers of the input."""

    weight: str
    entries: int
    size: int

    def output(self, size: Shape) -> Shape:
        return (*size, self.size)

    def operations(self, size: Shape) -> int:
        return math.prod(self.output(size))


@dataclass(frozen=True)
class Recurrent:
    """LSTM or GRU over [sequence, batch, terms]: [sequence, directions, batch, hidden].

    `weight` is [directions, gates * hidden, terms], `recurrence` [directions, gates * hidden, hidden], `bias`
    [directions, 2 * gates * hidden]. After the sequence a node's inputs may name initial states.
    """

    kind: str
    weight: str
    recurrence: str
    bias: str | None
    hidden: int
    terms: int
    reverse: tuple[bool, ...]
    """One entry for each direction."""
    states: tuple[str, ...]
    """Which initial states are given: `h`, `c`."""
    widths: Widths
    hidden_widths: Widths

    @property
    def gates(self) -> int:
        return {"LSTM": 4, "GRU": 3}[self.kind]

    def output(self, size: Shape, *states: Shape) -> Shape:
        if len(size) != 3 or size[2] != self.terms:
            raise BadGraph(f"a {self.kind} of {self.terms} inputs cannot follow a shape of {list(size)}")
        if any(state != (len(self.reverse), size[1], self.hidden) for state in states):
            raise BadGraph(f"an initial state of a {self.kind} has another shape than its states")
        return (size[0], len(self.reverse), size[1], self.hidden)

    def operations(self, size: Shape, *states: Shape) -> int:
        terms = self.gates * (self.terms + self.hidden) + 8
        return math.prod(self.output(size, *states)) * terms


def broadcast(*shapes: Shape) -> Shape:
    """ONNX's multidirectional broadcasting, which is NumPy's. Raises BadGraph."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_common(sizes, shapes) for sizes in zip(*padded, strict=True))


def _common(sizes: Sequence[int], shapes: Sequence[Shape]) -> int:
    largest = {size for size in sizes if size != 1} or {1}
    if len(largest) > 1:
        raise BadGraph(f"shapes {', '.join(str(list(shape)) for shape in shapes)} do not fit together")
    return largest.pop()


def _pooled(window: Window, size: Shape) -> Shape:
    if len(size) != 4:
        raise BadGraph(f"a pool over height and width cannot follow a shape of {list(size)}")
    return (*size[:2], *window.output(size[2:]))
