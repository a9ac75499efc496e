"""What the scorer makes of a few models, as hashes, for machines that must agree.

    python tests/score_bits.py ROWS [DEVICE]

Prints one JSON object: SHA-256 of each model's outputs, the same for batches of 1, 7, 100 and all rows, or this ends
with an error; the number of known answers reproduced; and digests of verdicts about forged files.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256

import hostile
import numpy as np
from numpy.typing import NDArray
from score_graphs import EXAMPLES, node, onnx_file

from heldout.kernels.devices.choice import open_device
from heldout.kernels.devices.interface import Device
from heldout.kernels.engine.model import Model
from heldout.kernels.graph import Graph
from heldout.kernels.known_answers import self_test
from heldout.kernels.loader import load

Arrays = Mapping[str, NDArray[np.float32]]
BATCHES = (1, 7, 100)
FORGED = 40
_MLP = onnx_file(
    [
        node("Gemm", "x w1 b1", "h1", transB=1),
        node("Relu", "h1", "r1"),
        node("Gemm", "r1 w2 b2", "h2", transB=1),
        node("Gelu", "h2", "r2"),
        node("Gemm", "r2 w3 b3", "y", transB=1),
    ],
    (784,),
    {"w1": (512, 784), "b1": (512,), "w2": (512, 512), "b2": (512,), "w3": (10, 512), "b3": (10,)},
)


def models() -> Iterator[tuple[str, Graph]]:
    yield "mlp 784-512-512-10", load(_MLP)
    for example in EXAMPLES:
        yield example.name, load(example.graph())


def drawn(random: np.random.Generator, shape: tuple[int, ...], low: int) -> NDArray[np.float32]:
    """Numbers of 20 bits, from `low` to 2: no logarithm takes part, which maths libraries round differently."""
    return (random.integers(low << 20, 2 << 20, shape) / (1 << 20)).astype(np.float32)


def outputs(name: str, graph: Graph, count: int, device: Device) -> bytes:
    """Raises AssertionError if a batch changes a bit."""
    random = np.random.Generator(np.random.PCG64(len(name)))
    weights = {key: drawn(random, shape, 0 if "variance" in key else -2) for key, shape in graph.weights.items()}
    shape = (count, *graph.input_shape)
    rows = random.integers(0, 2, shape) if graph.tokens else drawn(random, shape, -2)
    model = Model(graph, weights, device)
    found = {
        np.concatenate([model(rows[place : place + size]) + np.float32(0) for place in range(0, count, size)]).tobytes()
        for size in (*BATCHES, count)
    }
    assert len(found) == 1, f"{name}: the size of a batch changes bits"
    return found.pop()


if __name__ == "__main__":
    count, device = int(sys.argv[1]), open_device(*sys.argv[2:] or ["numpy"])
    told: dict[str, object] = {
        name: sha256(outputs(name, graph, count, device)).hexdigest() for name, graph in models()
    }
    told["known answers"] = self_test(device)
    told |= {kind: hostile.verdicts(kind, 0, FORGED).digest for kind in ("hostile_weights", "hostile_graphs")}
    print(json.dumps(told, indent=1))
