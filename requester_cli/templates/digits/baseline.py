"""The least anybody could do: `heldout job check` refuses a floor that this already passes.

It finds the mean image of each class and answers with the nearest one. |x - m|² = |x|² - 2x·m + |m|², and |x|² is the same
for all classes, so the nearest mean is the largest of x·m - |m|²/2: a linear layer, which the graph holds with a first
layer that passes the pixels through.
"""

import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

IN = Path(os.environ.get("HELDOUT_IN", "/in"))
OUT = Path(os.environ.get("HELDOUT_OUT", "/out"))


def main() -> None:
    shards = [load_file(path) for path in sorted((IN / "data").glob("*.safetensors"))]
    x = np.concatenate([shard["x"].reshape(-1, 64) for shard in shards])
    y = np.concatenate([shard["y"] for shard in shards])
    means = np.stack([x[y == digit].mean(axis=0) if (y == digit).any() else np.zeros(64) for digit in range(10)])
    weights = {
        "hidden.weight": np.eye(64),
        "hidden.bias": np.zeros(64),
        "output.weight": np.ascontiguousarray(means.T),
        "output.bias": -(means**2).sum(axis=1) / 2,
    }
    save_file({name: value.astype(np.float32) for name, value in weights.items()}, OUT / "weights.safetensors")


if __name__ == "__main__":
    main()
