"""Writes the known answers of `score-v1`, once and for all: `python tests/score_vectors.py kernels/vectors`.

Outputs come from the reference in rational arithmetic. A change of any file that is published is a new scorer (P9.3).
"""

import json
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import score_reference
from score_graphs import EXAMPLES, Arrays, Example, node, tensors_file

from heldout.kernels.graph import Graph
from heldout.kernels.loader import load
from heldout.kernels.metrics import METRICS, score_ppm
from heldout.kernels.operators import Convolution, Linear
from heldout.kernels.score import evidence, read_tensors

ROWS = 6
_METRICS = {1: ("rmse", "mae"), 2: ("auc",)}
_CLASS_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "perplexity")


def vector(name: str, graph: bytes, weights: Arrays, rows: np.ndarray, metric: str) -> dict[str, Any]:
    """One known answer."""
    read = load(graph)
    y = np.arange(len(rows)) % max(read.outputs, 2)
    labels = METRICS[metric].read(y, read.outputs)
    outputs = reference_outputs(read, weights, rows)
    predictions = METRICS[metric].predict(outputs, labels)
    return {
        "name": name,
        "graph": b64encode(graph).decode(),
        "weights": b64encode(tensors_file(weights)).decode(),
        "rows": b64encode(tensors_file({"x": rows, "y": y})).decode(),
        "metric": metric,
        "outputs": outputs.astype("<f4").tobytes().hex(),
        "score": score_ppm(METRICS[metric], predictions, labels),
        "evidence": evidence(METRICS[metric], predictions).hex(),
    }


def reference_outputs(graph: Graph, weights: Arrays, rows: np.ndarray) -> np.ndarray:
    return np.stack([score_reference.outputs(graph, weights, row) for row in rows]) + np.float32(0)


def outputs_of(known: dict[str, Any]) -> str:
    """The reference's outputs for a vector's own files, in hex."""
    rows = read_tensors(b64decode(known["rows"]))["x"]
    weights = read_tensors(b64decode(known["weights"]))
    return reference_outputs(load(b64decode(known["graph"])), weights, rows).astype("<f4").tobytes().hex()


def vectors() -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(2026)
    uses: Counter[int] = Counter()
    for example in (*EXAMPLES, *_BOUNDS, *_EDGES):
        weights, rows = example.random_weights(random), example.random_rows(random, ROWS)
        if example in _BOUNDS:
            weights, rows = _at_the_bound(example, rows)
        outputs = min(load(example.graph()).outputs, 3)
        choice, place = _METRICS.get(outputs, _CLASS_METRICS), uses[outputs]
        uses[outputs] += 1
        yield vector(example.name, example.graph(), weights, rows, choice[place % len(choice)])


_BOUNDS = (
    Example("bound_gemm", [node("Gemm", "x w", "y")], (1024,), {"w": (1024, 1)}),
    Example("bound_conv", [node("Conv", "x w", "c"), node("Flatten", "c", "y")], (32, 3, 3), {"w": (3, 32, 3, 3)}),
    Example("bound_gemm_53", [node("Gemm", "x w", "y")], (64,), {"w": (64, 3)}, widths={"*": (24, 53)}),
)


_EDGES = (
    Example(
        "gather_nd",
        [
            node("Transpose", "x", "t", perm=[2, 0, 1]),
            node("GatherND", "t places", "g"),
            node("Transpose", "g", "u", perm=[1, 2, 0]),
            node("MatMul", "u w", "m"),
            node("Flatten", "m", "y"),
        ],
        (2, 6),
        {"w": (3, 2)},
        fixed={"places": [[5], [0], [-4]]},
    ),
    Example(
        "third_power",
        [node("Pow", "x three", "p"), node("Add", "p w", "y")],
        (24,),
        {"w": (24,)},
        fixed={"three": np.float32(3)},
    ),
    Example(
        "product_of_tiny_values",
        [
            node("Mul", "x tiny", "t"),
            node("Transpose", "t", "u", perm=[0, 2, 1]),
            node("MatMul", "u t", "m"),
            node("Flatten", "m", "f"),
            node("Mul", "f w", "y"),
        ],
        (4, 3),
        {"w": (9,)},
        fixed={"tiny": np.float32(2.0**-52)},
    ),
    Example(
        "underflow",
        [
            node("Mul", "x tiny", "t"),
            node("Mul", "t tiny", "u"),
            node("Mul", "u huge", "v"),
            node("Mul", "v huge", "z"),
            node("Mul", "z w", "y"),
        ],
        (24,),
        {"w": (24,)},
        fixed={"tiny": np.float32(2.0**-64), "huge": np.float32(2.0**60)},
    ),
)
"""What was added last: among it the least grids, and results below 2**-126 that are rounded there, not to zero."""


def _at_the_bound(example: Example, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights that use up their budget but for less than one step a term, activations at their peak of either sign.

    Sums then come as close to 2**24 or 2**53 steps as any can, at their end or on the way.
    """
    operator = load(example.graph()).nodes[0].operator
    assert isinstance(operator, Linear | Convolution)
    shape, widths, terms = tuple(example.weights["w"]), operator.widths, operator.terms
    steps = np.full(shape, 2 ** (widths.total - widths.activation) // terms, np.float32)
    full, peaks = np.ones_like(rows[:2]), np.sign(rows[2:])
    return {"w": steps * np.float32(2.0**-18)}, np.concatenate([full, peaks]).astype(np.float32)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for known in vectors():
        (folder / f"{known['name']}.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
