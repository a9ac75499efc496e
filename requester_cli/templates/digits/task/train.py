"""Trains a small network on the shards the provider was given, with NumPy alone: nothing can be installed in there.

    /in/data/*.safetensors      training shards: x float32 [rows, 1, 8, 8], y int64 [rows]
    /out/checkpoint/            continued from, if the run before was interrupted
    /out/weights.safetensors    what is submitted: the tensors of graph.onnx

HELDOUT_SEED makes a run repeatable, HELDOUT_THREADS bounds its threads, and each line on standard output is one JSON
object that the provider's node shows while it works. HELDOUT_IN and HELDOUT_OUT name other folders, to try it at home.
`--pause` stretches a run, for those who want to see one interrupted and continued.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.get("HELDOUT_THREADS", "1"))

import numpy as np
from safetensors.numpy import load_file, save_file

IN = Path(os.environ.get("HELDOUT_IN", "/in"))
OUT = Path(os.environ.get("HELDOUT_OUT", "/out"))
BATCH = 64
RATE = 5e-3
DECAY = 1e-3
SAVE_EVERY = 5

Weights = dict[str, np.ndarray]


def read_data() -> tuple[np.ndarray, np.ndarray]:
    """Patches [rows, 9, 64], the 3 by 3 surroundings of every pixel, and labels [rows]."""
    shards = [load_file(path) for path in sorted((IN / "data").glob("*.safetensors"))]
    images = np.pad(np.concatenate([shard["x"][:, 0] for shard in shards]), ((0, 0), (1, 1), (1, 1)))
    patches = [images[:, down : down + 8, across : across + 8] for down in range(3) for across in range(3)]
    return np.stack(patches, axis=1).reshape(-1, 9, 64), np.concatenate([shard["y"] for shard in shards])


def first_weights(random: np.random.Generator) -> Weights:
    """He's initialisation (https://arxiv.org/abs/1502.01852)."""
    return {
        "filters.weight": (random.standard_normal((16, 1, 3, 3)) * np.sqrt(2 / 9)).astype(np.float32),
        "filters.bias": np.zeros(16, np.float32),
        "output.weight": (random.standard_normal((256, 10)) * np.sqrt(2 / 256)).astype(np.float32),
        "output.bias": np.zeros(10, np.float32),
    }


def forward(weights: Weights, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strokes [n, 16, 4, 2, 4, 2] (two by two cells to be pooled), features [n, 256], probabilities [n, 10]."""
    edges = weights["filters.weight"].reshape(16, 9) @ patches + weights["filters.bias"][:, None]
    strokes = np.maximum(edges, 0).reshape(-1, 16, 4, 2, 4, 2)
    features = strokes.max(axis=(3, 5)).reshape(-1, 256)
    logits = features @ weights["output.weight"] + weights["output.bias"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return strokes, features, odds / odds.sum(axis=1, keepdims=True)


def gradients(weights: Weights, patches: np.ndarray, y: np.ndarray) -> Weights:
    """Of the mean cross-entropy over a batch."""
    strokes, features, error = forward(weights, patches)
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    pooled = (error @ weights["output.weight"].T).reshape(-1, 16, 4, 1, 4, 1)
    chosen = (strokes == features.reshape(pooled.shape)) & (strokes > 0)
    edges = (pooled * chosen).reshape(-1, 16, 64)
    return {
        "filters.weight": (edges @ patches.transpose(0, 2, 1)).sum(axis=0).reshape(16, 1, 3, 3),
        "filters.bias": edges.sum(axis=(0, 2)),
        "output.weight": features.T @ error,
        "output.bias": error.sum(axis=0),
    }


class Adam:
    """https://arxiv.org/abs/1412.6980, with decoupled weight decay (https://arxiv.org/abs/1711.05101)."""

    def __init__(self, weights: Weights) -> None:
        self.step = 0
        self.mean = {name: np.zeros_like(value) for name, value in weights.items()}
        self.square = {name: np.zeros_like(value) for name, value in weights.items()}

    def update(self, weights: Weights, slopes: Weights, rate: float) -> None:
        self.step += 1
        for name, slope in slopes.items():
            self.mean[name] += 0.1 * (slope - self.mean[name])
            self.square[name] += 0.001 * (slope**2 - self.square[name])
            mean = self.mean[name] / (1 - 0.9**self.step)
            square = self.square[name] / (1 - 0.999**self.step)
            weights[name] -= rate * (mean / (np.sqrt(square) + 1e-8) + DECAY * weights[name])


def save(path: Path, tensors: Weights) -> None:
    """Writes beside the file and renames, so that a kill leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)


def save_checkpoint(epoch: int, weights: Weights, adam: Adam) -> None:
    state = {"epoch": np.array([epoch]), "step": np.array([adam.step]), **weights}
    state |= {f"mean.{name}": value for name, value in adam.mean.items()}
    state |= {f"square.{name}": value for name, value in adam.square.items()}
    save(OUT / "checkpoint" / "state.safetensors", state)


def load_checkpoint(weights: Weights, adam: Adam) -> int:
    """The epoch to go on with: 0 if there is no checkpoint."""
    path = OUT / "checkpoint" / "state.safetensors"
    if not path.exists():
        return 0
    state = load_file(path)
    for name in weights:
        weights[name], adam.mean[name], adam.square[name] = state[name], state[f"mean.{name}"], state[f"square.{name}"]
    adam.step = int(state["step"][0])
    return int(state["epoch"][0])


def train_epoch(order: np.ndarray, rate: float, weights: Weights, adam: Adam, x: np.ndarray, y: np.ndarray) -> None:
    for begin in range(0, len(y), BATCH):
        rows = order[begin : begin + BATCH]
        adam.update(weights, gradients(weights, x[rows], y[rows]), rate)


def report(epoch: int, weights: Weights, x: np.ndarray, y: np.ndarray) -> None:
    odds = forward(weights, x)[2]
    loss = -np.log(odds[np.arange(len(y)), y] + 1e-12).mean()
    accuracy = (odds.argmax(axis=1) == y).mean()
    print(json.dumps({"step": epoch, "loss": round(float(loss), 5), "accuracy": round(float(accuracy), 5)}), flush=True)


def main(epochs: int, pause: float) -> None:
    """The rows' order depends on seed and epoch alone, so a resumed run ends with the same weights."""
    seed = int(os.environ.get("HELDOUT_SEED", "0"))
    x, y = read_data()
    weights = first_weights(np.random.default_rng([seed, epochs]))
    adam = Adam(weights)
    for epoch in range(load_checkpoint(weights, adam), epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(y))
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        train_epoch(order, rate, weights, adam, x, y)
        report(epoch + 1, weights, x, y)
        if (epoch + 1) % SAVE_EVERY == 0:
            save_checkpoint(epoch + 1, weights, adam)
        time.sleep(pause)
    save(OUT / "weights.safetensors", weights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains on the shards in /in/data.")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the rows")
    parser.add_argument("--pause", type=float, default=0, metavar="SECONDS", help="sleep after each pass")
    main(**vars(parser.parse_args()))
