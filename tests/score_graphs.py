"""Small ONNX graphs and files for tests of the scorer. Real files all: nothing here stands in for the reader."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from heldout.market.weights import Tensor, encode

Arrays = Mapping[str, np.ndarray]


def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """`inputs` and `output` are names, inputs separated by spaces; the node is named after its output."""
    return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)


def onnx_file(
    nodes: Sequence[NodeProto],
    input_shape: Sequence[int],
    weights: Mapping[str, Sequence[int]],
    *,
    integers: Mapping[str, Sequence[int]] | None = None,
    widths: Mapping[str, Sequence[int]] | None = None,
    opset: int = 17,
) -> bytes:
    """An ONNX file whose input is `x`, whose output is the last node's, and whose weights have no values."""
    tensors = [TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT) for name, shape in weights.items()]
    tensors += [
        helper.make_tensor(name, TensorProto.INT64, [len(values)], values) for name, values in (integers or {}).items()
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *input_shape])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if widths:
        helper.set_model_props(model, {"score-v0": json.dumps({name: list(pair) for name, pair in widths.items()})})
    return model.SerializeToString(deterministic=True)


def tensors_file(arrays: Arrays) -> bytes:
    """A safetensors file of float32 and int64 arrays."""
    kinds = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
    return encode({name: Tensor(kinds[a.dtype], a.shape, a.tobytes()) for name, a in arrays.items()})


@dataclass(frozen=True)
class Example:
    """A graph with one operator, or a few, in the middle; its outputs are [rows, outputs]."""

    name: str
    nodes: Sequence[NodeProto]
    input_shape: Sequence[int]
    weights: Mapping[str, Sequence[int]]
    integers: Mapping[str, Sequence[int]] | None = None
    widths: Mapping[str, Sequence[int]] | None = None

    def graph(self) -> bytes:
        return onnx_file(self.nodes, self.input_shape, self.weights, integers=self.integers, widths=self.widths)

    def random_weights(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Normal values of sizes that differ by some powers of two; variances are positive."""
        drawn = {}
        for name, shape in self.weights.items():
            values = random.standard_normal(tuple(shape)) * 2.0 ** random.integers(
                -6, 3, (shape[0], *[1] * (len(shape) - 1))
            )
            drawn[name] = (np.abs(values) + 0.01 if "variance" in name else values).astype(np.float32)
        return drawn

    def random_rows(self, random: np.random.Generator, rows: int) -> np.ndarray:
        scale = 2.0 ** random.integers(-8, 8, (rows, *[1] * len(self.input_shape)))
        return (random.standard_normal((rows, *self.input_shape)) * scale).astype(np.float32)


_FLAT = node("Flatten", "y", "z")
_NORMAL = dict.fromkeys(("scale", "shift", "mean", "variance"), (4,))

EXAMPLES = (
    Example("gemm", [node("Gemm", "x w b", "y")], (7,), {"w": (7, 3), "b": (3,)}),
    Example("gemm_transposed", [node("Gemm", "x w", "y", transB=1)], (7,), {"w": (3, 7)}),
    Example("gemm_53", [node("Gemm", "x w b", "y")], (7,), {"w": (7, 3), "b": (3,)}, widths={"y": (20, 53)}),
    Example("gemm_coarse", [node("Gemm", "x w b", "y")], (7,), {"w": (7, 3), "b": (3,)}, widths={"*": (4, 24)}),
    Example(
        "mlp",
        [node("Gemm", "x w1 b1", "h"), node("Relu", "h", "r"), node("Gemm", "r w2 b2", "y")],
        (6,),
        {"w1": (6, 9), "b1": (9,), "w2": (9, 4), "b2": (4,)},
    ),
    Example(
        "matmul_add",
        [node("MatMul", "x w", "m"), node("Add", "m b", "y"), _FLAT],
        (2, 5),
        {"w": (5, 3), "b": (3,)},
    ),
    Example("conv", [node("Conv", "x w b", "y"), _FLAT], (2, 5, 4), {"w": (3, 2, 3, 2), "b": (3,)}),
    Example(
        "conv_pads_strides_dilations",
        [node("Conv", "x w", "y", pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2]), _FLAT],
        (2, 6, 5),
        {"w": (2, 2, 3, 2)},
    ),
    Example("conv_groups", [node("Conv", "x w b", "y", group=2), _FLAT], (4, 4, 4), {"w": (6, 2, 2, 2), "b": (6,)}),
    Example(
        "conv_depthwise",
        [node("Conv", "x w", "y", group=3, auto_pad="SAME_UPPER", strides=[2, 2]), _FLAT],
        (3, 5, 4),
        {"w": (3, 1, 3, 3)},
    ),
    Example("conv_1x1", [node("Conv", "x w b", "y"), _FLAT], (4, 3, 2), {"w": (5, 4, 1, 1), "b": (5,)}),
    Example("conv_53", [node("Conv", "x w", "y"), _FLAT], (2, 4, 4), {"w": (2, 2, 3, 3)}, widths={"y": (24, 53)}),
    Example("same_lower", [node("Conv", "x w", "y", auto_pad="SAME_LOWER"), _FLAT], (1, 4, 4), {"w": (2, 1, 2, 2)}),
    Example(
        "max_pool",
        [
            node("MaxPool", "x", "p", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
            node("Conv", "p w", "y"),
            _FLAT,
        ],
        (2, 5, 5),
        {"w": (1, 2, 1, 1)},
    ),
    Example(
        "average_pool",
        [
            node("AveragePool", "x", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("Conv", "p w", "y"),
            _FLAT,
        ],
        (2, 5, 5),
        {"w": (1, 2, 1, 1)},
    ),
    Example(
        "average_pool_counting_padding",
        [
            node("AveragePool", "x", "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
            node("Conv", "p w", "y"),
            _FLAT,
        ],
        (2, 4, 4),
        {"w": (1, 2, 1, 1)},
    ),
    Example(
        "global_average_pool",
        [node("GlobalAveragePool", "x", "p"), node("Flatten", "p", "f"), node("Gemm", "f w", "y")],
        (3, 3, 5),
        {"w": (3, 4)},
    ),
    Example(
        "batch_normalization",
        [node("BatchNormalization", "x scale shift mean variance", "n", epsilon=1e-3), node("Conv", "n w", "y"), _FLAT],
        (4, 2, 3),
        {**_NORMAL, "w": (2, 4, 1, 1)},
    ),
    Example(
        "residual",
        [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("BatchNormalization", "c scale shift mean variance", "n"),
            node("Relu", "n", "r"),
            node("Add", "r x", "a"),
            node("Identity", "a", "i"),
            node("Reshape", "i shape", "s"),
            node("Gemm", "s v b", "logits"),
            node("Softmax", "logits", "y"),
        ],
        (4, 3, 3),
        {"w": (4, 4, 3, 3), **_NORMAL, "v": (36, 5), "b": (5,)},
        integers={"shape": [0, -1]},
    ),
    Example("add_channel", [node("Add", "x b", "y"), _FLAT], (3, 2, 2), {"b": (1, 3, 1, 1)}),
)
