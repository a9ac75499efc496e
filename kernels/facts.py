"""What a market has to know of a graph before a job is posted, found in a process of its own.

    python -m heldout.kernels.facts < graph.onnx

prints {"operations_per_row": N, "weights": {"name": [shape]}}, or {"code": …, "message": …} and exits 1. A graph is a
stranger's: memory and processor time are bounded before anything is read.
"""

import json
import os
import resource
import sys

MEMORY = 2 << 30
SECONDS = 20


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread would reserve memory, and nothing is multiplied
    from heldout.kernels.errors import BadGraph
    from heldout.kernels.loader import load

    try:
        graph = load(sys.stdin.buffer.read())
    except BadGraph as problem:
        print(json.dumps({"code": problem.code, "message": problem.message}))
        return 1
    shapes = {name: list(shape) for name, shape in graph.weights.items()}
    print(json.dumps({"operations_per_row": graph.operations_per_row, "weights": shapes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
