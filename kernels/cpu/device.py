"""NumPy as a device: runs the steps of a graph one after the other and lets go of tensors as soon as it can."""

from collections.abc import Mapping

from heldout.kernels.cpu.steps import Step, build
from heldout.kernels.device import Array, Model
from heldout.kernels.graph import Graph


class NumpyDevice:
    name = "numpy"

    def load(self, graph: Graph, weights: Mapping[str, Array]) -> Model:
        return _NumpyModel(graph, [build(node.operator, weights) for node in graph.nodes])


class _NumpyModel:
    def __init__(self, graph: Graph, steps: list[Step]) -> None:
        self._graph = graph
        self._steps = steps
        last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
        self._released: list[list[str]] = [
            [name for name in set(node.inputs) if last_use[name] == index] for index, node in enumerate(graph.nodes)
        ]

    def __call__(self, rows: Array) -> Array:
        tensors = {self._graph.input: rows}
        for node, step, released in zip(self._graph.nodes, self._steps, self._released, strict=True):
            tensors[node.output] = step(*(tensors[name] for name in node.inputs))
            for name in released:
                del tensors[name]
        return tensors[self._graph.output]
