"""What became of each row, node by node, for two machines that found different scores (P9.5).

    row ── node 1 ── digest ── node 2 ── digest ── … ── prediction

Two accounts of one lane tell which rows differ, and for such a row the first node at which it does, and so the rule of
docs/score-v1.md that one of the two machines did not follow.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.child import DIGITS
from heldout.kernels.engine.model import Model
from heldout.kernels.graph import Node
from heldout.kernels.logarithms import Integers

_RULES = {
    "Linear": "Sums",
    "Convolution": "Sums",
    "MatMul": "Products",
    "BatchNormalization": "Norms",
    "LayerNormalization": "Norms",
    "MaxPool": "Pools",
    "AveragePool": "Means",
    "Mean": "Means",
    "Softmax": "Softmax",
    "Arithmetic": "Arithmetic",
    "Select": "Arithmetic",
    "Recurrent": "Recurrent",
}
_PLAIN = ("relu", "leaky_relu", "neg", "sqrt")


def rule_of(node: Node) -> str:
    """The section of docs/score-v1.md that says what the node computes."""
    function = getattr(node.operator, "function", None)
    if type(node.operator).__name__ == "Pointwise":
        return "Arithmetic" if function in _PLAIN else "Tables"
    return _RULES.get(type(node.operator).__name__, "Moves")


def account(model: Model, batches: Iterable[NDArray[Any]], predictions: Integers) -> dict[str, Any]:
    """`nodes`: name, operator and rule of each; `rows`: for each its prediction and, joined, a digest for each node."""
    rows: list[str] = []
    for batch in batches:
        told = [""] * len(batch)

        def listen(_: Node, tensor: NDArray[Any], told: list[str] = told) -> None:
            # Adding zero makes one of the two zeros, which are equal.
            for place, values in enumerate(np.ascontiguousarray(tensor) + tensor.dtype.type(0)):
                told[place] += sha256(values).hexdigest()[:DIGITS]

        model(batch, listen)
        rows += told
    return {
        "nodes": [[node.name, node.kind, rule_of(node)] for node in model.nodes],
        "rows": [list(pair) for pair in zip(predictions.tolist(), rows, strict=True)],
    }
