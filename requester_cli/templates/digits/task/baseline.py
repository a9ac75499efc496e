"""The least anybody could do: `heldout job check` refuses a floor that this already passes.

It finds the mean image of each class, at half the size, and answers with the nearest one. Of |x - m|² =
|x|² - 2x·m + |m|², the first term is the same for all classes, so the nearest mean is the largest of x·m - |m|²/2: a
linear layer on what the graph's pool makes of an image if one filter passes the pixels through and the others nothing.
"""

import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

IN = Path(os.environ.get("HELDOUT_IN", "/in"))
OUT = Path(os.environ.get("HELDOUT_OUT", "/out"))


def main() -> None:
    shards = [load_file(path) for path in sorted((IN / "data").glob("*.safetensors"))]
    images = np.concatenate([shard["x"] for shard in shards])
    y = np.concatenate([shard["y"] for shard in shards])
    small = images.reshape(-1, 4, 2, 4, 2).max(axis=(2, 4)).reshape(-1, 16)
    means = np.stack([small[y == digit].mean(axis=0) if (y == digit).any() else np.zeros(16) for digit in range(10)])
    weights = {
        "filters.weight": np.zeros((16, 1, 3, 3)),
        "filters.bias": np.zeros(16),
        "output.weight": np.zeros((256, 10)),
        "output.bias": -(means**2).sum(axis=1) / 2,
    }
    weights["filters.weight"][0, 0, 1, 1] = 1
    weights["output.weight"][:16] = means.T
    save_file({name: value.astype(np.float32) for name, value in weights.items()}, OUT / "weights.safetensors")


if __name__ == "__main__":
    main()
