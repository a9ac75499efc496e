"""Small ONNX graphs and files for tests of the scorer. Real files all: nothing here stands in for the reader."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

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
    fixed: Mapping[str, Any] | None = None,
    widths: Mapping[str, Sequence[int]] | None = None,
    constants: Sequence[str] = (),
    tokens: bool = False,
    opset: int = 20,
) -> bytes:
    """An ONNX file whose input is `x`, whose output is the last node's, and whose weights have no values.

    `fixed` are initialisers with values: lists of whole numbers are int64, arrays keep their type.
    """
    tensors = [TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT) for name, shape in weights.items()]
    tensors += [numpy_helper.from_array(np.asarray(values), name) for name, values in (fixed or {}).items()]
    kind = TensorProto.INT64 if tokens else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, ["rows", *input_shape])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if widths or constants:
        chosen = {name: list(pair) for name, pair in (widths or {}).items()}
        helper.set_model_props(model, {"score-v1": json.dumps({"widths": chosen, "constants": list(constants)})})
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
    fixed: Mapping[str, Any] | None = None
    widths: Mapping[str, Sequence[int]] | None = None
    vocabulary: int = 0
    """If not 0, the input is int64 below it."""

    def graph(self) -> bytes:
        tokens = self.vocabulary > 0
        return onnx_file(
            self.nodes, self.input_shape, self.weights, fixed=self.fixed, widths=self.widths, tokens=tokens
        )

    def random_weights(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Normal values of sizes that differ by some powers of two; variances are positive."""
        drawn = {}
        for name, shape in self.weights.items():
            sizes = 2.0 ** random.integers(-6, 3, (*shape[:1], *[1] * (len(shape) - 1)))
            values = random.standard_normal(tuple(shape)) * sizes
            drawn[name] = (np.abs(values) + 0.01 if "variance" in name else values).astype(np.float32)
        return drawn

    def random_rows(self, random: np.random.Generator, rows: int) -> np.ndarray:
        if self.vocabulary:
            return random.integers(0, self.vocabulary, (rows, *self.input_shape))
        scale = 2.0 ** random.integers(-8, 8, (rows, *[1] * len(self.input_shape)))
        return (random.standard_normal((rows, *self.input_shape)) * scale).astype(np.float32)


_FLAT = node("Flatten", "y", "z")
_NORMAL = dict.fromkeys(("scale", "shift", "mean", "variance"), (4,))

_ARITHMETIC = [
    node("Mul", "x w", "m"),
    node("Div", "m c", "d"),
    node("Sub", "d x", "s"),
    node("Pow", "s two", "q"),
    node("Add", "q c", "a"),
    node("Sqrt", "a", "r"),
    node("Neg", "r", "n"),
    node("Flatten", "n", "y"),
]
_PRODUCT = [
    node("Transpose", "x", "t", perm=[0, 2, 1]),
    node("MatMul", "t x", "m"),
    node("ReduceMean", "m axes", "means", keepdims=0),
    node("Add", "means b", "y"),
]
_PLACES = {"zero": [0], "one": [1], "four": [4], "axes": [2], "last": [-1], "shape": [0, -1], "wide": [1, 4, 7]}
_MOVES = [
    helper.make_node("Split", ["x"], ["left", "right"], name="split", axis=2, num_outputs=2),
    node("Slice", "right one four one", "cut"),
    node("Transpose", "w", "turned"),
    node("Unsqueeze", "turned zero", "grown"),
    node("MatMul", "left turned", "m"),
    node("Concat", "m m left", "joined", axis=-1),
    node("Gather", "joined last", "taken", axis=1),
    node("Squeeze", "taken one", "flat"),
    node("Expand", "taken wide", "wider"),
    node("Reshape", "wider shape", "all"),
    node("Reshape", "cut shape", "other"),
    node("Concat", "flat all other", "y", axis=1),
]
_MASK = {
    "keep": np.tril(np.ones((5, 5), np.bool_)),
    "lowest": np.float32(-np.inf),
    "half": np.float32(0.5),
    "heads": [0, 5, 3, 2, 4],
    "back": [0, 5, 8],
    "end": np.int64(-1),
    "zero": [0],
}
_ATTENTION = [
    node("Gather", "e x", "t"),
    node("MatMul", "t w", "p"),
    node("Add", "p b", "a"),
    node("Reshape", "a heads", "h"),
    node("Transpose", "h", "parts", perm=[2, 0, 3, 1, 4]),
    helper.make_node("Split", ["parts"], ["q1", "k1", "v1"], name="split", axis=0, num_outputs=3),
    *(node("Squeeze", f"{name}1 zero", name) for name in "qkv"),
    node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
    node("MatMul", "q kt", "qk"),
    node("Mul", "qk half", "scaled"),
    node("Where", "keep scaled lowest", "masked"),
    node("Softmax", "masked", "odds"),
    node("MatMul", "odds v", "o"),
    node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
    node("Reshape", "ot back", "r"),
    node("Gather", "r end", "y", axis=1),
]


def _pointwise(name: str, function: NodeProto) -> Example:
    """A function of each value; the weight is there because a submission holds at least one."""
    return Example(name, [function, node("Add", "f b", "y")], (24,), {"b": (24,)})


def _recurrent(kind: str, direction: str) -> list[NodeProto]:
    return [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        helper.make_node(
            kind, ["t", "w", "r", "b"], ["all", "h"], name="cell", hidden_size=2, direction=direction,
            **({"linear_before_reset": 1} if kind == "GRU" else {}),
        ),
        node("Transpose", "h", "last", perm=[1, 0, 2]),
        node("Transpose", "all", "every", perm=[2, 0, 1, 3]),
        node("Flatten", "last", "f"),
        node("Flatten", "every", "g"),
        node("Concat", "f g", "y", axis=1),
    ]  # fmt: skip


def _states(kind: str, direction: str) -> dict[str, tuple[int, ...]]:
    directions, rows = {"forward": 1, "bidirectional": 2}[direction], {"LSTM": 8, "GRU": 6}[kind]
    return {"w": (directions, rows, 3), "r": (directions, rows, 2), "b": (directions, 2 * rows)}


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
        fixed={"shape": [0, -1]},
    ),
    Example("add_channel", [node("Add", "x b", "y"), _FLAT], (3, 2, 2), {"b": (1, 3, 1, 1)}),
    Example(
        "conv_one_axis",
        [
            node("Conv", "x w b", "c", pads=[1, 1], strides=[2]),
            node("MaxPool", "c", "p", kernel_shape=[2]),
            node("Flatten", "p", "z"),
        ],
        (2, 9),
        {"w": (3, 2, 3), "b": (3,)},
    ),
    _pointwise("leaky_relu", node("LeakyRelu", "x", "f", alpha=0.1)),
    *(_pointwise(kind.lower(), node(kind, "x", "f")) for kind in ("Sigmoid", "Tanh", "Erf", "Gelu")),
    _pointwise("gelu_tanh", node("Gelu", "x", "f", approximate="tanh")),
    Example("arithmetic", _ARITHMETIC, (3, 4), {"w": (4,)}, fixed={"c": np.float32(0.7), "two": np.float32(2)}),
    Example(
        "reduce_mean",
        [node("ReduceMean", "x axes", "m", keepdims=0), node("Sub", "m w", "y")],
        (5, 4, 3),
        {"w": (4,)},
        fixed={"axes": [1, 3]},
    ),
    Example(
        "layer_normalization",
        [node("LayerNormalization", "x g s", "n"), node("ReduceMean", "n axes", "y", keepdims=0)],
        (3, 5),
        {"g": (5,), "s": (5,)},
        fixed={"axes": [1]},
    ),
    Example("softmax", [node("Softmax", "x", "s"), node("MatMul", "s w", "y")], (6,), {"w": (6, 3)}),
    Example("log_softmax", [node("LogSoftmax", "x", "s"), node("MatMul", "s w", "y")], (6,), {"w": (6, 3)}),
    Example("product", _PRODUCT, (7, 4), {"b": (4,)}, fixed={"axes": [1]}),
    Example("product_of_spans", _PRODUCT, (70, 3), {"b": (3,)}, fixed={"axes": [1]}),
    Example("gemm_of_spans", [node("Gemm", "x w b", "y")], (1100,), {"w": (1100, 1), "b": (1,)}),
    Example(
        "conv_of_spans",
        [node("Conv", "x w b", "y", group=2), _FLAT],
        (230, 3, 3),
        {"w": (2, 115, 3, 3), "b": (2,)},
    ),
    Example("moves", _MOVES, (4, 6), {"w": (2, 3)}, fixed=_PLACES),
    Example("attention", _ATTENTION, (5,), {"e": (11, 8), "w": (8, 24), "b": (24,)}, fixed=_MASK, vocabulary=11),
    *(
        Example(f"{kind.lower()}_{direction}", _recurrent(kind, direction), (4, 3), _states(kind, direction))
        for kind in ("LSTM", "GRU")
        for direction in ("forward", "bidirectional")
    ),
)
