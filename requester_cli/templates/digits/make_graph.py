"""Writes graph.onnx: what the job asks for. Its initialisers are the tensors to be submitted, so they carry no values.

python make_graph.py [FILE]         FILE defaults to ./graph.onnx

x [rows, 1, 8, 8] ─ Flatten ─ Gemm 64→64 ─ Relu ─ Gemm 64→10 ─ logits [rows, 10]
"""

import sys
from pathlib import Path

from onnx import TensorProto, helper

SHAPES = {"hidden.weight": (64, 64), "hidden.bias": (64,), "output.weight": (64, 10), "output.bias": (10,)}


def main(file: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["pixels"]),
        helper.make_node("Gemm", ["pixels", "hidden.weight", "hidden.bias"], ["sums"], name="hidden"),
        helper.make_node("Relu", ["sums"], ["features"]),
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
    print(f"{file}: {sum(1 for _ in SHAPES)} tensors to be submitted")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "graph.onnx")
