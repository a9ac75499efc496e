"""Known answers that a machine must reproduce before it may vote (P9.4).

The answers in `vectors/` come from a separate implementation in rational arithmetic (tests/score_reference.py), some of
them for sums within a few steps of the bounds. A wrong bit here means a BLAS, a compiler or a processor that does not
compute what docs/score-v1.md says.
"""

import json
from base64 import b64decode
from importlib.resources import files
from typing import Any

import numpy as np

from heldout.kernels.devices.interface import Device
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.errors import SelfTestFailed
from heldout.kernels.loader import load
from heldout.kernels.metrics import METRICS, score_ppm
from heldout.kernels.score import evidence, read_tensors


def self_test(device: Device | None = None) -> int:
    """Runs every vector on a device. Returns their number; raises SelfTestFailed naming the first that differs."""
    vectors = known_answers()
    for vector in vectors:
        _check(vector, device or NumpyDevice())
    return len(vectors)


def known_answers() -> list[dict[str, Any]]:
    """The vectors: graph, weights and rows as files in base64, output bits in hex, score and evidence."""
    folder = files("heldout.kernels") / "vectors"
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir(), key=str) if path.name.endswith(".json")]


def _check(vector: dict[str, Any], device: Device) -> None:
    graph = load(b64decode(vector["graph"]))
    rows = read_tensors(b64decode(vector["rows"]))
    metric = METRICS[vector["metric"]]
    labels = metric.read(rows["y"], graph.outputs)
    outputs = Model(graph, read_tensors(b64decode(vector["weights"])), device)(rows["x"])
    # Adding zero makes one of the two zeros, which are equal and are the only values with two bit patterns.
    if (outputs + np.float32(0)).astype("<f4").tobytes().hex() != vector["outputs"]:
        raise SelfTestFailed(f"known answer {vector['name']!r} is not reproduced on device {device.name}")
    predictions = metric.predict(outputs, labels)
    found = score_ppm(metric, predictions, labels), evidence(metric, predictions).hex()
    if found != (vector["score"], vector["evidence"]):
        raise SelfTestFailed(f"known answer {vector['name']!r}: its score is not reproduced")
