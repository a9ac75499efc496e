"""The least anybody could do: `heldout job check` refuses a floor that this already passes.

It is linear: ridge regression (https://doi.org/10.1080/00401706.1970.10488634) onto the numbers, or onto 1 for a row's
class and 0 for the others. Since v = relu(v) - relu(-v), two hidden units for each output pass a linear layer through.
"""

import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

IN = Path(os.environ.get("HELDOUT_IN", "/in"))
OUT = Path(os.environ.get("HELDOUT_OUT", "/out"))
RIDGE = 1.0


def main() -> None:
    shape = json.loads((IN / "task" / "shape.json").read_text())
    inputs, hidden, outputs = shape["inputs"], shape["hidden"], shape["outputs"]
    shards = [load_file(path) for path in sorted((IN / "data").glob("*.safetensors"))]
    x = np.concatenate([shard["x"] for shard in shards]).astype(np.float64)
    y = np.concatenate([shard["y"] for shard in shards])
    wanted = np.eye(outputs)[y] if y.dtype == np.int64 else y.reshape(-1, 1)
    rows = np.hstack([x, np.ones((len(x), 1))])
    linear = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(inputs + 1), rows.T @ wanted)
    weights = {
        "hidden.weight": np.zeros((inputs, hidden)),
        "hidden.bias": np.zeros(hidden),
        "output.weight": np.zeros((hidden, outputs)),
        "output.bias": linear[-1],
    }
    weights["hidden.weight"][:, : 2 * outputs] = np.hstack([linear[:-1], -linear[:-1]])
    weights["output.weight"][: 2 * outputs] = np.vstack([np.eye(outputs), -np.eye(outputs)])
    save_file({name: value.astype(np.float32) for name, value in weights.items()}, OUT / "weights.safetensors")


if __name__ == "__main__":
    main()
