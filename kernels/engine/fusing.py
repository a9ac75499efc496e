"""Steps that can be one without changing a bit: a matrix of weights, and the vector of weights added to its result.

`torch.onnx.export` writes a linear layer on sequences as MatMul and Add. A sum of one span in 24 bits is exact in
binary32, so that rounding it before the bias is added rounds nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.numpy import LARGEST
from heldout.kernels.graph import Graph, Node
from heldout.kernels.operators import SPAN, Arithmetic, Linear


def fused(graph: Graph, static: Mapping[str, NDArray[Any]]) -> tuple[Node, ...]:
    """The graph's nodes, some of them joined. `static` holds the values of everything that depends on no row."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses[graph.output] += 1
    nodes: list[Node] = []
    places: dict[str, int] = {}
    for node in graph.nodes:
        joined = _with_bias(node, nodes, places, uses, static)
        if joined is None:
            places[node.output] = len(nodes)
            nodes.append(node)
        else:
            places[node.output] = place = places.pop(joined.output)
            nodes[place] = replace(joined, output=node.output)
    return tuple(nodes)


def _with_bias(
    node: Node,
    nodes: list[Node],
    places: dict[str, int],
    uses: Counter[str],
    static: Mapping[str, NDArray[Any]],
) -> Node | None:
    """The linear node before an Add, with the Add's weights as its bias; None if that is not the same."""
    if node.operator != Arithmetic("add") or len(set(node.inputs)) != 2:
        return None
    for source, bias in (node.inputs, node.inputs[::-1]):
        if source not in places or bias not in static or uses[source] != 1:
            continue
        linear = nodes[places[source]]
        if isinstance(linear.operator, Linear) and _may_join(linear.operator, static[bias], linear, node):
            return replace(linear, operator=replace(linear.operator, bias=bias))
    return None


def _may_join(operator: Linear, bias: NDArray[Any], linear: Node, node: Node) -> bool:
    exact = operator.bias is None and operator.widths.total == 24 and operator.terms <= SPAN
    fits = bias.shape == (operator.outputs,) and linear.shape == node.shape
    return exact and fits and bool(np.abs(bias).max() <= 2.0 ** (LARGEST - 1))
