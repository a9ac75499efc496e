"""What is known of a graph's tensors while its nodes are read, one after the other. Shapes are of a batch of one row.

values     fixed by the file and known now: shapes, masks, scales
weights    to be submitted; static: weights and what follows from them alone
computed   everything that depends on the input
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from heldout.kernels.attributes import called
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.folding import MAX_AXES, Value, axes_of
from heldout.kernels.graph import Node, Operator
from heldout.kernels.operators import Widths, default_widths
from heldout.kernels.windows import Shape

MAX_ELEMENTS = 1 << 28
"""Elements of a tensor of weights, or of what one row makes: 1 GiB of binary32."""
MOST_FOLDED = 1 << 24
"""Elements of all constants that are computed from constants, and places that Gather takes."""
LARGEST_CONSTANT = 2.0**64
"""Float constants beyond it, infinities included, are read as it: a mask's minus infinity is -2**64."""


@dataclass(frozen=True)
class Settings:
    """What the file's metadata say: widths by node name, and float32 initialisers that are not to be submitted."""

    widths: dict[str, Widths]
    constants: frozenset[str]


class Scope:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.values: dict[str, Value] = {}
        self.weights: dict[str, Shape] = {}
        self.constants: dict[str, Value] = {}
        self.shapes: dict[str, Shape] = {}
        self.static: set[str] = set()
        self.whole: set[str] = set()
        """Computed tensors of whole numbers."""
        self.nodes: list[Node] = []
        self._aliases: dict[str, str] = {}
        self._folded = 0
        self._summing: set[str] = set()

    def spend(self, elements: int) -> None:
        """Raises BadGraph once the file's constants together have too many."""
        self._folded += elements
        if self._folded > MOST_FOLDED:
            raise BadGraph(f"the graph's constants have more than {MOST_FOLDED} values")

    # ---------------------------------------------------------------------------------------------------- names

    def declare(self, name: str, what: str) -> str:
        if not name or name in self.values or name in self.shapes or name in self._aliases:
            raise BadGraph(f"{what} must have a name of its own, not {name!r}")
        return name

    def alias(self, name: str, source: str) -> None:
        self._aliases[name] = self._aliases.get(source, source)

    def source(self, name: str) -> str:
        return self._aliases.get(name, name)

    def is_value(self, name: str) -> bool:
        return self.source(name) in self.values

    def is_static(self, name: str) -> bool:
        return self.source(name) in self.static or self.is_value(name)

    def is_whole(self, name: str) -> bool:
        return self.source(name) in self.whole

    def value(self, node: onnx.NodeProto, place: int) -> Value:
        """The constant at an input. Raises Unsupported if it is none."""
        name = self.source(node.input[place])
        if name not in self.values:
            raise Unsupported(f"{called(node)} must have a constant for its input {place}, not {node.input[place]!r}")
        return self.values[name]

    def axes(self, node: onnx.NodeProto, place: int) -> list[int]:
        """The same for a list of axes, or of what is given for each."""
        return axes_of(node, self.value(node, place))

    def tensor(self, name: str) -> str:
        """The tensor of numbers a name stands for; a constant of floats becomes one here. Raises BadGraph."""
        name = self.source(name)
        if name not in self.shapes and name in self.values:
            self._register(name, self.values[name])
        if name not in self.shapes:
            raise BadGraph(f"{name!r} is not a tensor computed before it is used")
        return name

    def shape(self, name: str) -> Shape:
        name = self.source(name)
        return self.values[name].shape if name in self.values else self.shapes[self.tensor(name)]

    def condition(self, node: onnx.NodeProto) -> str:
        """A constant of truth values. Raises Unsupported if it is none."""
        value = self.value(node, 0)
        if value.dtype != np.bool_:
            raise BadGraph(f"{called(node)} has a condition that is not bool")
        name = self.source(node.input[0])
        self.constants[name] = value
        return name

    def _register(self, name: str, value: Value) -> None:
        if value.dtype != np.float32 or np.isnan(value).any():
            raise Unsupported(f"{name!r} is used as a tensor, but is not made of float32 numbers")
        fixed: NDArray[np.float32] = np.clip(value, -LARGEST_CONSTANT, LARGEST_CONSTANT)
        self.constants[name] = fixed
        self.shapes[name] = value.shape
        self.static.add(name)

    # ---------------------------------------------------------------------------------------------------- nodes

    def add(self, node: onnx.NodeProto, operator: Operator, *inputs: str, output: str | None = None) -> str:
        """A step that reads `inputs` and gives `output`, by default the node's first. Raises BadGraph if none fits."""
        names = tuple(self.tensor(name) for name in inputs)
        sizes = [self.shapes[name] for name in names]
        try:
            shape = operator.output(*sizes)
        except BadGraph as problem:
            raise BadGraph(f"{called(node)}: {problem.message}") from None
        if output and output not in node.output:
            self.declare(output, f"a step of {called(node)}")
        output = output or node.output[0]
        name = node.name or output
        cost = operator.operations(*sizes)
        self.nodes.append(Node(name, node.op_type, operator, names, output, bounded(output, shape), cost))
        self.shapes[output] = shape
        if self.static.issuperset(names):
            self.static.add(output)
        return output

    def widths(self, node: onnx.NodeProto, terms: int) -> Widths:
        chosen, name = self.settings.widths, node.name or node.output[0]
        self._summing.add(name)
        return chosen.get(name) or chosen.get("*") or default_widths(terms)

    def check_settings(self) -> None:
        """Raises BadGraph for metadata about names that are not in the file: a slip there must not pass in silence."""
        unknown = self.settings.widths.keys() - self._summing - {"*"}
        unknown |= self.settings.constants - self._aliases.keys() - self.values.keys() - self.shapes.keys()
        if unknown:
            raise BadGraph(f"the metadata name {', '.join(map(repr, sorted(unknown)))}: no sum and no initialiser here")


def bounded(name: str, shape: Shape) -> Shape:
    """The shape itself. Raises BadGraph if it has too many elements, or axes, or none in some axis."""
    if math.prod(shape) > MAX_ELEMENTS or len(shape) > MAX_AXES or not all(size > 0 for size in shape):
        raise BadGraph(f"tensor {name!r} of shape {list(shape)}: 1 to {MAX_ELEMENTS} elements, {MAX_AXES} axes")
    return shape
