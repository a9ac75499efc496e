"""What `torch.onnx.export` writes is read, and computes what ONNX says, float32 aside (P9.1, P9.2).

The files are torch 2.13's, from both of its exporters, without the weights' values. ONNX's own reference evaluator,
which shares nothing with the scorer, says what they mean.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from heldout.kernels.devices.interface import Device
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.devices.plain import PlainDevice
from heldout.kernels.engine.model import Model
from heldout.kernels.graph import Graph
from heldout.kernels.loader import load

FILES = sorted((Path(__file__).parents[1] / "vectors" / "exported").glob("*.onnx"))
ROWS = 3


def drawn(graph: Graph) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of the size that layers begin with, and rows."""
    random = np.random.default_rng(3)
    weights = {
        name: (random.standard_normal(shape) / np.sqrt(max(shape[-1], 16))).astype(np.float32)
        for name, shape in graph.weights.items()
    }
    shape = (ROWS, *graph.input_shape)
    rows = random.integers(0, 64, shape) if graph.tokens else random.standard_normal(shape).astype(np.float32)
    return weights, rows


def by_onnx(data: bytes, weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    model = onnx.load_from_string(data)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    evaluator = ReferenceEvaluator(model)
    name = model.graph.input[0].name
    return np.concatenate([evaluator.run(None, {name: row[None]})[0] for row in rows])


def by_us(graph: Graph, weights: dict[str, np.ndarray], rows: np.ndarray, device: Device) -> np.ndarray:
    return Model(graph, weights, device)(rows)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_exported_network_computes_what_onnx_says(file: Path) -> None:
    graph = load(file.read_bytes())
    weights, rows = drawn(graph)
    plain, exact = (by_us(graph, weights, rows, device) for device in (PlainDevice(), NumpyDevice()))
    assert np.abs(exact - plain).std() < 0.02 * plain.std()
    if "bidirectional" in file.stem:  # ONNX's evaluator has one direction only
        return
    with np.errstate(all="ignore"):
        expected = by_onnx(file.read_bytes(), weights, rows)
    assert np.abs(plain - expected).max() < 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("stem", ["transformer-20", "attention-by-hand-20", "transformer-one-row-18"])
def test_masks_are_the_files_and_not_the_providers(stem: str) -> None:
    """P9.1: a mask that a provider could choose would let a network look at what it is to predict."""
    graph = load(next(file for file in FILES if file.stem == stem).read_bytes())
    assert any(value.ndim == 2 and value.shape[0] == value.shape[1] == 16 for value in graph.constants.values())
    assert not any("mask" in name or shape == (16, 16) for name, shape in graph.weights.items())
