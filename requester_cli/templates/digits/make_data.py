"""Writes scikit-learn's digits, 1,797 handwritten digits of 8 by 8 pixels, as the data folder of this job.

    python make_data.py [FOLDER]        FOLDER defaults to ./data

`x` is float32 [rows, 1, 8, 8] in 0 … 1, `y` is int64 [rows]. These images are public: with them this job shows how the
market works, and keeps no secret.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits


def main(folder: Path) -> None:
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    y = digits.target.astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"x": x, "y": y}, folder / "digits.safetensors")
    print(f"{len(y)} rows in {folder / 'digits.safetensors'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
