"""P9.1: the requester's graph is data. What score-v1 does not define is refused by name, before anything runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper
from score_graphs import EXAMPLES, node, onnx_file

from heldout.kernels.errors import BadGraph, TooManyOperations, Unsupported
from heldout.kernels.graph import operations
from heldout.kernels.loader import load
from heldout.kernels.operators import Linear, Widths

W = {"w": (4, 3)}
K = {"w": (2, 1, 3, 3)}
IMAGE = (1, 6, 6)
_FLAT = node("Flatten", "p", "f")


def unnamed(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


def _two_outputs() -> bytes:
    model = onnx.ModelProto.FromString(onnx_file([node("Relu", "x", "a"), node("Relu", "a", "y")], (4,), {}))
    model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, None))
    return model.SerializeToString()


def _free_size() -> bytes:
    model = onnx.ModelProto.FromString(onnx_file([node("Relu", "x", "y")], (4,), {}))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "width"]))
    return model.SerializeToString()


def _two_rows() -> bytes:
    model = onnx.ModelProto.FromString(onnx_file([node("Relu", "x", "y")], (4,), {}))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4]))
    return model.SerializeToString()


def _metadata(text: str) -> bytes:
    model = onnx.ModelProto.FromString(onnx_file([node("Relu", "x", "y")], (4,), {}))
    helper.set_model_props(model, {"score-v1": text})
    return model.SerializeToString()


UNSUPPORTED: dict[str, bytes] = {
    "an operator of ONNX": onnx_file([node("Einsum", "x", "y")], (4,), {}),
    "an operator of another domain": onnx_file([node("Gemm", "x w", "y", domain="com.example")], (4,), W),
    "Softmax over another axis": onnx_file([node("MatMul", "x w", "m"), node("Softmax", "m", "y", axis=0)], (4,), W),
    "alpha": onnx_file([node("Gemm", "x w", "y", alpha=0.5)], (4,), W),
    "transA": onnx_file([node("Gemm", "x w", "y", transA=1)], (4,), W),
    "an attribute from the future": onnx_file([node("Gemm", "x w", "y", sparse=1)], (4,), W),
    "a bias of another length": onnx_file([node("Gemm", "x w b", "y")], (4,), {**W, "b": (4,)}),
    "a computed bias": onnx_file([node("Relu", "x", "r"), node("Gemm", "x w r", "y")], (4,), W),
    "a Gemm of two computed matrices": onnx_file([node("Gemm", "x x", "y")], (1,), {}),
    "computed filters": onnx_file([node("Conv", "x x", "y")], IMAGE, {}),
    "a window of too many cells": onnx_file([node("Conv", "x w", "y")], (1, 40, 40), {"w": (1, 1, 33, 33)}),
    "ceil_mode": onnx_file([node("MaxPool", "x", "y", kernel_shape=[2, 2], ceil_mode=1)], IMAGE, {}),
    "indices of a pool": onnx_file([unnamed("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])], IMAGE, {}),
    "a pool with dilations and paddings": onnx_file(
        [node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[3, 3], pads=[1, 1, 1, 1])], IMAGE, {}
    ),
    "an unknown auto_pad": onnx_file([node("Conv", "x w", "y", auto_pad="SAME")], IMAGE, K),
    "training": onnx_file(
        [node("BatchNormalization", "x a b c d", "y", training_mode=1)], (4,), dict.fromkeys("abcd", (4,))
    ),
    "Reshape to a computed shape": onnx_file([node("Reshape", "x x", "y")], (4,), {}),
    "a slope above one": onnx_file([node("LeakyRelu", "x", "y", alpha=1.5)], (4,), {}),
    "another approximation": onnx_file([node("Gelu", "x", "y", approximate="fast")], (4,), {}),
    "a power of four": onnx_file([node("Pow", "x p", "y")], (4,), {}, fixed={"p": np.float32(4)}),
    "a computed condition": onnx_file([node("Where", "x x x", "y")], (4,), {}),
    "a comparison of computed values": onnx_file([node("Less", "x x", "y")], (4,), {}),
    "a norm over too many values": onnx_file(
        [node("LayerNormalization", "x g", "n"), node("Slice", "n zero one last", "y")],
        ((1 << 21) + 1,), {"g": ((1 << 21) + 1,)}, fixed={"zero": [0], "one": [1], "last": [1]},
    ),
    "an operator of several outputs": onnx_file([unnamed("RNN", ["x", "w", "r"], ["y", "h"], hidden_size=2)], (4,), W),
    "places of two axes": onnx_file([node("GatherND", "x i", "y")], (4,), {}, fixed={"i": [[0, 1]]}),
    "another type": onnx_file([node("Cast", "x", "y", to=TensorProto.FLOAT16)], (4,), {}),
    "a slice backwards": onnx_file(
        [node("Slice", "x a b c d", "y")], (4,), {}, fixed={"a": [3], "b": [0], "c": [1], "d": [-1]}
    ),
    "arithmetic with tokens": onnx_file([node("Add", "x x", "y")], (4,), {}, tokens=True),
    "a GRU of another order": onnx_file(
        [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t w r", "y", hidden_size=2)],
        (4, 3), {"w": (1, 6, 3), "r": (1, 6, 2)},
    ),
    "lengths of sequences": onnx_file(
        [node("Transpose", "x", "t", perm=[1, 0, 2]), unnamed("LSTM", ["t", "w", "r", "", "n"], ["y"], hidden_size=2)],
        (4, 3), {"w": (1, 8, 3), "r": (1, 8, 2)}, fixed={"n": [4]},
    ),
}  # fmt: skip

BAD: dict[str, bytes] = {
    "no ONNX": b"weights",
    "empty": b"",
    "an old opset": onnx_file([node("Relu", "x", "y")], (4,), {}, opset=13),
    "no nodes": helper.make_model(
        helper.make_graph([], "g", [helper.make_tensor_value_info("x", 1, ["n", 4])], [])
    ).SerializeToString(),
    "a missing tensor": onnx_file([node("Relu", "nothing", "y")], (4,), {}),
    "nodes out of order": onnx_file([node("Relu", "r", "y"), node("Relu", "x", "r")], (4,), {}),
    "too few inputs": onnx_file([node("Gemm", "x", "y")], (4,), {}),
    "no inputs": onnx_file([node("Relu", "", "y")], (4,), {}),
    "Reshape over rows": onnx_file([node("Reshape", "x s", "y")], (4,), {}, fixed={"s": [2, 2]}),
    "Reshape to nothing": onnx_file([node("Reshape", "x s", "y", allowzero=1)], (4,), {}, fixed={"s": [0, 4]}),
    "weights on the left": onnx_file([node("MatMul", "w x", "y")], (3,), W),
    "an output that depends on no row": onnx_file([node("Relu", "x", "r"), node("Flatten", "w", "y")], (4,), W),
    "a mean of too many": onnx_file([node("GlobalAveragePool", "x", "p"), _FLAT], (1, 300, 300), {}),
    "an axis that is none": onnx_file([node("Softmax", "x", "s", axis=5), node("Relu", "s", "y")], (4,), {}),
    "places beyond the end": onnx_file([node("Gather", "x i", "y", axis=1)], (4,), {}, fixed={"i": [4]}),
    "an empty slice": onnx_file([node("Slice", "x a a a", "y")], (4,), {}, fixed={"a": [1]}),
    "a split that does not add up": onnx_file(
        [unnamed("Split", ["x", "s"], ["y", "z"], axis=1)], (4,), {}, fixed={"s": [1, 1]}
    ),
    "a constant without end": onnx_file(
        [node("ConstantOfShape", "s", "c"), node("Relu", "x", "y")], (4,), {}, fixed={"s": [1 << 20, 1 << 20]}
    ),
    "a fixed number of rows": _two_rows(),
    "metadata of no kind": _metadata("[]"),
    "metadata with an unknown entry": _metadata('{"bits": 3}'),
    "an attribute of another type": onnx_file([node("Conv", "x w", "y", strides="fast")], IMAGE, K),
    "a matrix that does not fit": onnx_file([node("Gemm", "x w", "y")], (5,), W),
    "channels that do not fit": onnx_file([node("Conv", "x w", "y"), node("Flatten", "y", "z")], (3, 6, 6), K),
    "groups that do not divide": onnx_file([node("Conv", "x w", "y", group=3)], IMAGE, K),
    "no groups": onnx_file([node("Conv", "x w", "y", group=0)], IMAGE, K),
    "another kernel_shape": onnx_file([node("Conv", "x w", "y", kernel_shape=[2, 2])], IMAGE, K),
    "a window larger than the image": onnx_file([node("Conv", "x w", "y")], (1, 2, 2), K),
    "a stride of zero": onnx_file([node("Conv", "x w", "y", strides=[0, 1])], IMAGE, K),
    "negative paddings": onnx_file([node("Conv", "x w", "y", pads=[-1, 0, 0, 0])], IMAGE, K),
    "a pool of padding only": onnx_file(
        [node("AveragePool", "x", "y", kernel_shape=[2, 2], pads=[2, 2, 0, 0])], IMAGE, {}
    ),
    "shapes that cannot be added": onnx_file([node("Gemm", "x w", "g"), node("Add", "g x", "y")], (4,), W),
    "a weight that cannot be added": onnx_file([node("Add", "x b", "y")], (4,), {"b": (3,)}),
    "a weight added to nothing": onnx_file([node("Add", "a b", "y")], (4,), {"a": (4,), "b": (4,)}),
    "a shape of other size": onnx_file([node("Reshape", "x s", "y")], (4,), {}, fixed={"s": [0, 5]}),
    "a shape with two unknowns": onnx_file([node("Reshape", "x s", "y")], (4,), {}, fixed={"s": [0, -1, -1]}),
    "an output that is no vector": onnx_file([node("Relu", "x", "y")], IMAGE, {}),
    "a weight without elements": onnx_file([node("Add", "x b", "y")], (4,), {"b": (0,)}),
    "an epsilon below zero": onnx_file(
        [node("BatchNormalization", "x a b c d", "y", epsilon=-1.0)], (4,), dict.fromkeys("abcd", (4,))
    ),
    "widths beyond a sum": onnx_file([node("Gemm", "x w", "y")], (4,), W, widths={"y": (17, 24)}),
    "widths of no arithmetic": onnx_file([node("Gemm", "x w", "y")], (4,), W, widths={"y": (8, 32)}),
    "widths that are no whole numbers": onnx_file([node("Gemm", "x w", "y")], (4,), W, widths={"y": (9.5, 24)}),  # type: ignore[dict-item]
    "widths of a node that is not there": onnx_file([node("Gemm", "x w", "y")], (4,), W, widths={"z": (9, 24)}),
    "widths of a node that sums nothing": onnx_file([node("Relu", "x", "y")], (4,), {}, widths={"y": (9, 24)}),
    "a constant that is not there": onnx_file([node("Gemm", "x w", "y")], (4,), W, constants=["position"]),
    "a tensor named like a step inside a convolution": onnx_file(
        [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("MatMul", "f c:weight", "y")],
        (2, 5),
        {"w": (3, 2, 3), "c:weight": (9, 2)},
    ),
    "two outputs": _two_outputs(),
    "a free size": _free_size(),
}


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_is_not_defined_is_refused_by_name(data: bytes) -> None:
    """P9.3: score-v1 is what its page says and nothing else."""
    with pytest.raises(Unsupported) as refused:
        load(data)
    assert refused.value.code == "unsupported_operator"
    assert any(
        kind in refused.value.message for kind in {n.op_type for n in onnx.ModelProto.FromString(data).graph.node}
    )


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_a_graph_that_does_not_fit_together_is_refused(data: bytes) -> None:
    """P9.1, and never by another error than this."""
    with pytest.raises(BadGraph):
        load(data)


def test_an_unknown_operator_is_named_with_what_is_known() -> None:
    with pytest.raises(Unsupported, match=r"Einsum \(y\).*Gemm"):
        load(UNSUPPORTED["an operator of ONNX"])


def test_widths_reach_a_node_without_a_name_by_its_output() -> None:
    nameless = unnamed("Gemm", ["x", "w"], ["y"])
    sums = load(onnx_file([nameless], (4,), W, widths={"y": (20, 53)})).nodes[0].operator
    assert isinstance(sums, Linear) and sums.widths == Widths(20, 53)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_the_weights_to_be_submitted_are_the_float_initialisers(example: Any) -> None:
    """P9.1: names and shapes exactly the graph's."""
    graph = load(example.graph())
    assert graph.weights == {name: tuple(shape) for name, shape in example.weights.items()}
    assert graph.softmax == (example.name == "residual")


def test_values_of_initialisers_and_inputs_of_the_same_name_do_not_matter() -> None:
    """Exporters write both; only names and shapes count."""
    nodes = [node("Gemm", "x w", "y")]
    model = onnx.ModelProto.FromString(onnx_file(nodes, (4,), W))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    assert load(model.SerializeToString()) == load(onnx_file(nodes, (4,), W))


def test_a_fixed_number_of_rows_and_its_reshape_are_understood() -> None:
    """PyTorch exports a batch of one as such."""
    model = onnx.ModelProto.FromString(onnx_file([node("Reshape", "x s", "y")], (2, 3), {}, fixed={"s": [1, 6]}))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3]))
    assert load(model.SerializeToString()).outputs == 6


def test_no_other_file_is_opened() -> None:
    """Threat 64: ONNX lets a tensor name a file that holds its values."""
    model = onnx.ModelProto.FromString(onnx_file([node("Reshape", "x s", "y")], (4,), {}, fixed={"s": [0, 4]}))
    tensor = model.graph.initializer[0]
    tensor.ClearField("int64_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(Unsupported):
        load(model.SerializeToString())


def test_operations_are_counted_before_anything_runs() -> None:
    """P9.1: limits are counted operations. 2 filters of 9 terms at 16 places, 32 relus, 3 outputs of 32 terms."""
    nodes = [
        node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Flatten", "r", "f"), node("Gemm", "f v", "y"),
    ]  # fmt: skip
    graph = load(onnx_file(nodes, IMAGE, {**K, "v": (32, 3)}))
    per_row = 2 * 9 * 16 + 32 + 32 * 3
    assert operations(graph, 1) == per_row
    assert operations(graph, 10, 10 * per_row) == 10 * per_row
    with pytest.raises(TooManyOperations):
        operations(graph, 10, 10 * per_row - 1)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_graph_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    """P9.1: whatever bytes a requester posts, a validator's process ends with a verdict about the graph."""
    changed = bytearray(data.draw(st.sampled_from([example.graph() for example in EXAMPLES])))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        graph = load(bytes(changed))
    except BadGraph:
        return
    assert graph.operations_per_row >= 0 and graph.outputs >= 0
