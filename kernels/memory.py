"""How much memory a graph takes, known before anything runs (P9.1): limits are the graph's, never a machine's.

Counted in elements: tensors that are alive while a step runs, and what the step itself lays out beside them.
"""

import math

from heldout.kernels.errors import BadGraph
from heldout.kernels.graph import Graph, Node
from heldout.kernels.operators import AveragePool, Convolution, MaxPool, Recurrent
from heldout.kernels.windows import Shape, Window

MOST_PER_ROW = 1 << 26
"""Elements that are alive at once for one row: 256 MiB of binary32."""
MOST_FIXED = 1 << 28
"""Elements of weights, constants and what follows from them alone: 1 GiB."""


def check_memory(graph: Graph) -> None:
    """Raises BadGraph if one row, or what is there for all rows, takes more than any machine must have."""
    if fixed(graph) > MOST_FIXED:
        raise BadGraph(f"weights and constants have {fixed(graph)} elements, at most {MOST_FIXED} are held")
    if per_row(graph) > MOST_PER_ROW:
        raise BadGraph(f"a row takes {per_row(graph)} elements at once, at most {MOST_PER_ROW} are held")


def fixed(graph: Graph) -> int:
    """Elements held for all rows."""
    kept = [*graph.weights.values(), *(value.shape for value in graph.constants.values())]
    return sum(map(math.prod, [*kept, *(node.shape for node in graph.prepared)]))


def per_row(graph: Graph) -> int:
    """Elements that are alive at once, at most, while one row is computed, or while what it needs is prepared."""
    shapes = _shapes(graph)
    last_use = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    alive = {graph.input: math.prod(graph.input_shape)}
    total, most = alive[graph.input], max((_beside(node, shapes) for node in graph.prepared), default=0)
    for place, node in enumerate(graph.nodes):
        alive[node.output] = math.prod(node.shape)
        total += alive[node.output]
        most = max(most, total + _beside(node, shapes))
        for name in {*node.inputs, node.output} - {graph.output}:
            if last_use.get(name, place) == place:
                total -= alive.pop(name, 0)  # 0: it is there for all rows
    return most


def _shapes(graph: Graph) -> dict[str, Shape]:
    """Of every tensor, for a batch of one row."""
    given = {graph.input: (1, *graph.input_shape), **graph.weights}
    given |= {name: value.shape for name, value in graph.constants.items()}
    return given | {node.output: node.shape for node in (*graph.prepared, *graph.nodes)}


def _beside(node: Node, shapes: dict[str, Shape]) -> int:
    """What a step lays out beside its inputs and its result."""
    match node.operator:
        case Convolution() as convolution:
            return convolution.unfolded(node.shape) + _padded(shapes[node.inputs[0]], convolution.window)
        case MaxPool(window=window) | AveragePool(window=window):
            return _padded(shapes[node.inputs[0]], window)
        case Recurrent() as cell:
            return math.prod(node.shape) * cell.gates
    return sum(math.prod(shapes[name]) for name in node.inputs)


def _padded(size: Shape, window: Window) -> int:
    height, width = (size[axis + 2] + window.begin[axis] + window.end[axis] for axis in (0, 1))
    return size[0] * size[1] * height * width
