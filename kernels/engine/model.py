"""A graph with weights, ready to run on a device."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array, Device
from heldout.kernels.engine import averages, moves, pointwise, recurrent, sums
from heldout.kernels.engine.fusing import fused
from heldout.kernels.engine.grid import check_range, unchecked
from heldout.kernels.graph import Graph, Node
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

_ROUNDING = (Linear, MatMul, Convolution, AveragePool, Mean, LayerNormalization)
"""What rounds its inputs to grids, and so checks their range: what goes there need not be checked before."""


class Model:
    """Rounds weights once and for all. Raises OutOfRange if they cannot be."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], device: Device) -> None:
        self._graph = graph
        self._device = device
        self._static: dict[str, NDArray[Any]] = {**graph.constants, **weights}
        self._rounded: set[str] = set()
        with np.errstate(all="ignore"):
            for node in graph.prepared:
                inputs = [self._static[name][None] for name in node.inputs]
                self._static[node.output] = self._build(node)(*inputs)[0]
            self._nodes = fused(graph, self._static)
            self._rounded |= {
                name for node in self._nodes if isinstance(node.operator, _ROUNDING) for name in node.inputs
            }
            self._steps = [self._build(node) for node in self._nodes]
        used = {name for node in self._nodes for name in node.inputs} & self._static.keys()
        self._fixed = {name: np.array(self._static[name])[None] for name in used}  # a file's bytes cannot be written to
        last_use = {name: index for index, node in enumerate(self._nodes) for name in node.inputs}
        self._released = [
            [name for name in {*node.inputs, node.output} if last_use.get(name, index) == index]
            for index, node in enumerate(self._nodes)
        ]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What is done to every row, in order."""
        return self._nodes

    def __call__(self, rows: NDArray[Any], listen: Callable[[Node, NDArray[Any]], None] | None = None) -> Array:
        """Outputs [n, outputs] of `rows` [n, *input shape]; each row's bits depend on that row alone.

        `listen` is told what each node made of the rows.

        Raises OutOfRange if a value leaves the range of docs/score-v1.md, BadData if a row does.
        """
        tensors: dict[str, NDArray[Any]] = {
            **self._fixed,
            self._graph.input: rows[:, None],
        }
        with np.errstate(all="ignore"):
            for node, step, released in zip(self._nodes, self._steps, self._released, strict=True):
                tensors[node.output] = step(*(tensors[name] for name in node.inputs))
                if listen is not None:
                    listen(node, tensors[node.output])
                for name in released:
                    if name != self._graph.output:
                        del tensors[name]
        return check_range(tensors[self._graph.output].reshape(len(rows), -1))

    def _build(self, node: Node) -> sums.Step:
        operator, static, device = node.operator, self._static, self._device
        check = unchecked if node.output in self._rounded else check_range
        match operator:
            case Linear():
                return sums.linear(operator, static, device)
            case MatMul():
                return sums.product(device, check)
            case Convolution():
                return sums.convolution(operator, static, device)
            case MaxPool():
                return averages.max_pool(operator, device)
            case AveragePool():
                return averages.average_pool(operator, device)
            case Mean():
                return averages.mean(operator, device)
            case BatchNormalization():
                return averages.batch_normalization(operator, static, device, check)
            case LayerNormalization():
                return averages.layer_normalization(operator, static, device, check)
            case Softmax():
                return averages.softmax(operator, device)
            case Pointwise():
                return pointwise.pointwise(operator, device)
            case Arithmetic():
                return pointwise.arithmetic(operator, device, check)
            case Select():
                return pointwise.select(operator, self._graph.constants)
            case Embedding():
                return pointwise.embedding(operator, static)
            case Recurrent():
                return recurrent.recurrent(operator, static, device)
            case _:
                return moves.move(operator)
