"""The parts of the scoring bench that run in processes of their own: libraries read their settings once.

    python -m tests.bench.score_parts train     FOLDER NAME
    python -m tests.bench.score_parts ratio     FOLDER NAME THREADS
    python -m tests.bench.score_parts accuracy  FOLDER NAME
    python -m tests.bench.score_parts memory    FOLDER NAME DEVICE       prints kilobytes
    python -m tests.bench.score_parts outputs   FOLDER DEVICE BATCH ROWS FILE

`train` writes what the others read: NAME.onnx, NAME.weights and NAME.pt, NAME.rows.npy and NAME.labels.npy. `outputs`
runs where there is no torch. Libraries are loaded where they are used: what only one side needs is not in the other's
memory.
"""

import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tests.bench.figure import report

Model = Callable[[np.ndarray], np.ndarray]
ROUNDS = 15
FEW = 256
LIMITS = {"mlp": 1.4, "cnn": 1.4, "transformer": 1.6}
BATCH = {"mlp": 256, "cnn": 64, "transformer": 64}
"""Rows that either side reads at once."""


def exact(folder: Path, name: str, device: str) -> Model:
    """A network as a validator reads it; device `float32` is the control, which has no grids."""
    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.devices.plain import PlainDevice
    from heldout.kernels.engine import model
    from heldout.kernels.loader import load
    from heldout.kernels.score import read_tensors

    weights = read_tensors((folder / f"{name}.weights").read_bytes())
    used = PlainDevice() if device == PlainDevice.name else open_device(device)
    return model.Model(load((folder / f"{name}.onnx").read_bytes()), weights, used)


def plain(folder: Path, name: str) -> Model:
    """The same network in torch, as it was trained."""
    import torch

    from tests.bench.networks import NETWORKS

    module = NETWORKS[name]().module.eval()
    module.load_state_dict(torch.load(folder / f"{name}.pt"))

    def run(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = module(torch.from_numpy(rows)).numpy()
        return found

    return run


def held_out(folder: Path, name: str, count: int | None = None) -> np.ndarray:
    """The first `count` rows, or all."""
    return np.array(np.load(folder / f"{name}.rows.npy", mmap_mode="r")[:count])


def batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


# ----------------------------------------------------------------------------------------------------------- training


def train(folder: Path, name: str) -> None:
    import torch

    from heldout.market.weights import Tensor, encode
    from tests.bench.networks import NETWORKS, exported, trained

    torch.manual_seed(1)
    network = NETWORKS[name]()
    rows, labels = trained(network)
    graph, weights = exported(network.module, rows)
    torch.save(network.module.state_dict(), folder / f"{name}.pt")
    (folder / f"{name}.onnx").write_bytes(graph)
    tensors = {key: Tensor("F32", value.shape, value.tobytes()) for key, value in weights.items()}
    (folder / f"{name}.weights").write_bytes(encode(tensors))
    np.save(folder / f"{name}.rows.npy", rows)
    np.save(folder / f"{name}.labels.npy", labels)


# --------------------------------------------------------------------------------------------------------------- time


class Ratio(NamedTuple):
    """Of ours to theirs."""

    median: float
    lowest: float
    processor: float
    """The median, by processor time of all threads."""


def measured_ratio(ours: Callable[[], object], theirs: Callable[[], object], clock: Callable[[], float]) -> Ratio:
    """Of `ROUNDS` pairs of times, taken in turn."""
    ours(), theirs()
    pairs = [(_timed(ours, clock), _timed(theirs, clock)) for _ in range(ROUNDS)]
    lowest = [min(each[side][0] for each in pairs) for side in (0, 1)]
    medians = [median(left[clocked] / right[clocked] for left, right in pairs) for clocked in (0, 1)]
    return Ratio(medians[0], lowest[0] / lowest[1], medians[1])


def _timed(run: Callable[[], object], clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds by a clock, and of processor time."""
    started, processor = clock(), time.process_time()
    run()
    return clock() - started, time.process_time() - processor


def ratio(folder: Path, name: str, threads: int) -> None:
    """Two batches by torch with so many threads, and by as many threads of ours, a batch each."""
    import torch

    batch, theirs = BATCH[name], plain(folder, name)
    timed = held_out(folder, name, batch * 2)
    clock = time.process_time if threads == 1 else time.perf_counter

    def exactly(model: Model) -> None:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(model, batches(timed, batch)))

    def eagerly() -> None:
        torch.set_num_threads(threads)
        for rows in batches(timed, batch):
            theirs(rows)

    kind, suffix = ("CPU", "") if threads == 1 else ("wall", f".threads{threads}")
    method = f"median of {ROUNDS} ratios of {kind} time to torch fp32 eager's, {len(timed)} rows, {threads} thread(s)"
    for device, part, limit in (("torch", "", f"; at most {LIMITS[name]}"), ("numpy", ".numpy", "")):
        model = exact(folder, name, device)
        found = measured_ratio(lambda model=model: exactly(model), eagerly, clock)  # type: ignore[misc]
        beside = f"; of the lowest {found.lowest:.2f}, of CPU time {found.processor:.2f}; device {device}"
        report(f"score.ratio.{name}{part}{suffix}", found.median, "ratio", method + beside + limit)


# ----------------------------------------------------------------------------------------------------------- accuracy


def accuracy(folder: Path, name: str) -> None:
    """What exactness moves, with the standard error of the difference: images are drawn, variants of one are not."""
    from tests.bench.networks import HELD_OUT

    rows, labels = held_out(folder, name), np.load(folder / f"{name}.labels.npy")
    with ThreadPoolExecutor(2) as pool:
        exactly = np.concatenate(list(pool.map(exact(folder, name, "numpy"), batches(rows, 64)))).argmax(axis=1)
    eagerly = np.concatenate([*map(plain(folder, name), batches(rows, 64))]).argmax(axis=1)
    right = [(found == labels).astype(float) for found in (eagerly, exactly)]
    of_images = (right[1] - right[0]).reshape(HELD_OUT, -1).mean(axis=1)
    error = 100 * of_images.std(ddof=1) / HELD_OUT**0.5
    report(
        f"score.accuracy_change.{name}", 100 * of_images.mean(), "points",
        f"{len(rows)} held-out rows of {HELD_OUT} images, standard error {error:.4f}; "
        f"float32 {100 * right[0].mean():.2f} %, exact {100 * right[1].mean():.2f} %; "
        f"{np.count_nonzero(exactly != eagerly)} rows got another class; at most 0.1 either way",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- memory


def memory(folder: Path, name: str, device: str) -> int:
    """Kilobytes this process took to run one network, by torch eagerly or exactly, in batches of the same size."""
    rows, batch = held_out(folder, name, FEW), BATCH[name]
    run = plain(folder, name) if device == "eager" else exact(folder, name, device)
    for _ in range(2):
        for part in batches(rows, batch):
            run(part)
    # Not ru_maxrss, which a child inherits from whoever started it.
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


# --------------------------------------------------------------------------------------------------------------- bits


def outputs(folder: Path, device: str, batch: int, count: int, target: Path) -> None:
    """Writes the outputs of every network for its first `count` rows, batch after batch, every zero positive."""
    found = []
    for graph in sorted(folder.glob("*.onnx")):
        model = exact(folder, graph.stem, device)
        rows = held_out(folder, graph.stem, count)
        found += [(model(part) + np.float32(0)).ravel() for part in batches(rows, batch)]
    target.write_bytes(np.concatenate(found).astype("<f4").tobytes())


def main(arguments: list[Any]) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    match arguments:
        case ["train", folder, name]:
            train(Path(folder), name)
        case ["ratio", folder, name, threads]:
            ratio(Path(folder), name, int(threads))
        case ["accuracy", folder, name]:
            accuracy(Path(folder), name)
        case ["memory", folder, name, device]:
            print(memory(Path(folder), name, device))
        case ["outputs", folder, device, batch, count, target]:
            outputs(Path(folder), device, int(batch), int(count), Path(target))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
