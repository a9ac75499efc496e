"""The graph `score-v0` runs: steps over named tensors, every shape known and every operation counted beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from heldout.kernels.errors import TooManyOperations
from heldout.kernels.operators import Convolution, Operator, Shape


@dataclass(frozen=True)
class Node:
    """One step: `operator` applied to the tensors named in `inputs`, giving a tensor of `shape` (of one row)."""

    name: str
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
    nodes: tuple[Node, ...]
    output: str
    outputs: int
    weights: Mapping[str, Shape]
    softmax: bool
    """Whether the file ended in Softmax. It is left out: every metric that allows it reads logits."""

    @property
    def operations_per_row(self) -> int:
        return sum(node.operations for node in self.nodes)

    @property
    def widest(self) -> int:
        """Elements per row of the largest buffer any step needs, a convolution's unfolded input included."""
        sizes = [math.prod(self.input_shape)]
        for node in self.nodes:
            sizes.append(math.prod(node.shape))
            if isinstance(node.operator, Convolution):
                sizes.append(node.operator.unfolded(node.shape))
        return max(sizes)


def operations(graph: Graph, rows: int, cap: int | None = None) -> int:
    """What scoring `rows` rows costs, counted before anything runs. Raises TooManyOperations above `cap`."""
    count = graph.operations_per_row * rows
    if cap is not None and count > cap:
        raise TooManyOperations(f"{rows} rows cost {count} operations, the terms allow {cap}")
    return count
