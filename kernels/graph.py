"""The graph `score-v1` runs: steps over named tensors, every shape known and every operation counted beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from heldout.kernels.errors import TooManyOperations
from heldout.kernels.moves import Concat, Expand, Reshape, Slice, Take, Transpose
from heldout.kernels.operators import (
    Arithmetic,
    AveragePool,
    BatchNormalization,
    Convolution,
    Embedding,
    LayerNormalization,
    Linear,
    MatMul,
    MaxPool,
    Mean,
    Pointwise,
    Recurrent,
    Select,
    Softmax,
)
from heldout.kernels.windows import Shape

Move = Reshape | Transpose | Slice | Take | Concat | Expand
Operator = (
    Linear
    | MatMul
    | Convolution
    | BatchNormalization
    | LayerNormalization
    | MaxPool
    | AveragePool
    | Mean
    | Softmax
    | Pointwise
    | Arithmetic
    | Select
    | Embedding
    | Recurrent
    | Move
)


@dataclass(frozen=True)
class Node:
    """One step: `operator` applied to the tensors named in `inputs`, giving a tensor of `shape` (of one row)."""

    name: str
    kind: str
    """The operator's name in the file."""
    operator: Operator
    inputs: tuple[str, ...]
    output: str
    shape: Shape
    operations: int
    """Per row: one for each multiply-add, each cell a pool reads, each element otherwise computed."""


@dataclass(frozen=True)
class Graph:
    """Steps in an order in which they can run. `weights` names the float32 tensors a submission must hold."""

    input: str
    input_shape: Shape
    """Of one row, without an axis for the batch."""
    tokens: bool
    """Whether the input is int64: numbers of entries in embeddings."""
    prepared: tuple[Node, ...]
    """What needs no row, and is done once: transposed, cut or joined weights."""
    nodes: tuple[Node, ...]
    output: str
    outputs: int
    weights: Mapping[str, Shape]
    constants: Mapping[str, NDArray[Any]]
    """What the file fixes: float32, or bool for the condition of a Select."""
    softmax: bool
    """Whether the file ended in Softmax. It is left out: every metric that allows it reads logits."""

    @property
    def operations_per_row(self) -> int:
        return sum(node.operations for node in self.nodes)

    @property
    def turns(self) -> int:
        """How often computing a batch, of however many rows, comes back to Python: about."""
        return sum(_turns(node) for node in self.nodes)

    @property
    def ending(self) -> Operator | None:
        """What makes the outputs, reshaping aside."""
        made = {node.output: node for node in self.nodes}
        node = made.get(self.output)
        while node is not None and isinstance(node.operator, Reshape):
            node = made.get(node.inputs[0])
        return node.operator if node else None

    @property
    def widest(self) -> int:
        """Elements per row of the largest buffer any step needs, a convolution's unfolded input included."""
        sizes = [math.prod(self.input_shape)]
        for node in self.nodes:
            sizes.append(math.prod(node.shape))
            if isinstance(node.operator, Convolution):
                sizes.append(node.operator.unfolded(node.shape))
            if isinstance(node.operator, Recurrent):
                sizes.append(math.prod(node.shape) * node.operator.gates)
        return max(sizes)


def _turns(node: Node) -> int:
    match node.operator:
        case Recurrent() as cell:
            return 4 * node.shape[0] * len(cell.reverse)
        case MaxPool(window=window) | AveragePool(window=window):
            return window.cells
    return 1


def operations(graph: Graph, rows: int, cap: int | None = None) -> int:
    """What scoring `rows` rows costs, counted before anything runs. Raises TooManyOperations above `cap`."""
    count = sum(node.operations for node in graph.prepared) + graph.operations_per_row * rows
    if cap is not None and count > cap:
        raise TooManyOperations(f"{rows} rows cost {count} operations, the terms allow {cap}")
    return count
