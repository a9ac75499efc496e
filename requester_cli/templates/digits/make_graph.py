"""Writes graph.onnx: what the job asks for. Its initialisers are the tensors to be submitted, so they carry no values.

    python make_graph.py [FILE]         FILE defaults to ./graph.onnx

The network: x [rows, 1, 8, 8] ─ Conv 3×3, 16 filters ─ Relu ─ MaxPool 2×2 ─ Flatten ─ Gemm 256→10 ─ logits [rows, 10]
"""

import sys
from pathlib import Path

from onnx import TensorProto, helper

SHAPES = {"filters.weight": (16, 1, 3, 3), "filters.bias": (16,), "output.weight": (256, 10), "output.bias": (10,)}


def main(file: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "filters.weight", "filters.bias"], ["edges"], name="filters", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["edges"], ["strokes"]),
        helper.make_node("MaxPool", ["strokes"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "output.weight", "output.bias"], ["logits"], name="output"),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 10])],
        [TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT) for name, shape in SHAPES.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{file}: {len(SHAPES)} tensors to be submitted")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "graph.onnx")
