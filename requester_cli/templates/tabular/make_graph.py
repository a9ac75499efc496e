"""Writes graph.onnx: what the job asks for. Its initialisers are the tensors to be submitted, so they carry no values.

The network: x [rows, inputs] ─ Gemm ─ Relu [rows, hidden] ─ Gemm ─ [rows, outputs]; one output for each class, or one
for a number. The sizes are those of the data folder; task/shape.json tells them to the programs in the sandbox, where
a shard may lack a class.
"""

import json
from pathlib import Path

from onnx import TensorProto, helper
from safetensors.numpy import load_file

HERE = Path(__file__).parent
HIDDEN = 32


def main() -> None:
    data = load_file(HERE / "data" / "rows.safetensors")
    inputs, outputs = data["x"].shape[1], int(data["y"].max()) + 1 if data["y"].dtype == "int64" else 1
    hidden = max(HIDDEN, 2 * outputs)  # baseline.py needs two for each output
    shapes = {
        "hidden.weight": (inputs, hidden),
        "hidden.bias": (hidden,),
        "output.weight": (hidden, outputs),
        "output.bias": (outputs,),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "hidden.weight", "hidden.bias"], ["sums"], name="hidden"),
        helper.make_node("Relu", ["sums"], ["features"]),
        helper.make_node("Gemm", ["features", "output.weight", "output.bias"], ["y"], name="output"),
    ]
    graph = helper.make_graph(
        nodes,
        "tabular",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (HERE / "graph.onnx").write_bytes(model.SerializeToString(deterministic=True))
    sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs}
    (HERE / "task" / "shape.json").write_text(json.dumps(sizes))
    print(f"graph.onnx: {len(shapes)} tensors to be submitted, {sizes}")


if __name__ == "__main__":
    main()
