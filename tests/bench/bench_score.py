"""What exactness costs: score-v1 against torch float32 in eager mode, on the same rows, in turn, in one process.

Three networks are trained for a moment on scikit-learn's digits, exported with `torch.onnx.export` and scored: an MLP
784-512-512-10, a CNN, and a transformer of 4 layers and width 256 with a causal mask. Needs torch and onnxscript:
`pip install torch==2.13.0 onnxscript==0.7.2`. A ratio is the median of many, each of two times taken one right after
the other; beside it stand the ratio of the lowest times and that of processor time, to tell what other work did.
"""

import importlib.util
import itertools
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.figure import report

ROUNDS = 15
LIMITS = {"mlp": 1.4, "cnn": 1.4, "transformer": 1.6}
BATCHES = (1, 7, 100, 10_000)
_SETTINGS = ({}, {"MKL_CBWR": "COMPATIBLE"}, {"ATEN_CPU_CAPABILITY": "default"}, {"ONEDNN_MAX_CPU_ISA": "SSE41"})


class Ratio(NamedTuple):
    """Of ours to theirs."""

    median: float
    lowest: float
    processor: float
    """The median, by processor time of all threads."""


def ratio(ours: Callable[[], object], theirs: Callable[[], object], clock: Callable[[], float]) -> Ratio:
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


def in_batches(model: Callable[[object], object], rows: object, size: int) -> list[object]:
    return [model(rows[begin : begin + size]) for begin in range(0, len(rows), size)]  # type: ignore[index, arg-type]


def measure(name: str, threads: int) -> None:
    """One network, in a process of its own, since libraries read their settings once."""
    import numpy as np
    import torch

    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.engine.model import Model
    from heldout.kernels.loader import load
    from tests.bench.networks import NETWORKS, exported, trained

    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = NETWORKS[name]()
    data = trained(network, None if threads == 1 else 1)  # what it has learned is asked once, and costs no time
    graph_file, weights = exported(network.module, data.rows)
    graph = load(graph_file)
    rows, labels = data.test_rows, data.test_labels
    batch = network.batch
    models = {device: Model(graph, weights, open_device(device)) for device in ("torch", "numpy")}
    timed = rows[: batch * 2]
    clock = time.process_time if threads == 1 else time.perf_counter

    def exactly(model: Callable[[object], object]) -> object:
        torch.set_num_threads(1)
        batches = [timed[begin : begin + batch] for begin in range(0, len(timed), batch)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(model, batches))

    def plain() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return in_batches(lambda x: network.module(torch.from_numpy(x)).numpy(), timed, batch)

    ends = {device: ratio(lambda model=model: exactly(model), plain, clock) for device, model in models.items()}
    kind = "CPU" if threads == 1 else "wall"
    method = f"median of {ROUNDS} ratios of {kind} time to torch fp32 eager's, {len(timed)} rows, {threads} thread(s)"
    suffix = "" if threads == 1 else f".threads{threads}"
    for device, part, limit in (("torch", "", f"; at most {LIMITS[name]}"), ("numpy", ".numpy", "")):
        found = ends[device]
        beside = f"; of the lowest {found.lowest:.2f}, of CPU time {found.processor:.2f}; device {device}"
        report(f"score.ratio.{name}{part}{suffix}", found.median, "ratio", method + beside + limit)
    if threads == 1:
        with torch.inference_mode():
            fp32 = network.module(torch.from_numpy(rows)).numpy()
        exact = np.concatenate(in_batches(models["numpy"], rows, batch))
        accuracy = [100 * float((found.argmax(axis=1) == labels).mean()) for found in (fp32, exact)]
        report(
            f"score.accuracy_change.{name}", accuracy[1] - accuracy[0], "points",
            f"{len(labels)} test rows; float32 {accuracy[0]:.2f} %, exact {accuracy[1]:.2f} %",
        )  # fmt: skip


def digest(folder: Path, device: str, batch: int) -> str:
    """SHA-256 of all outputs, of networks that were written to a folder."""
    import numpy as np

    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.engine.model import Model
    from heldout.kernels.loader import load
    from heldout.kernels.score import read_tensors

    found = sha256()
    for graph in sorted(folder.glob("*.onnx")):
        weights = read_tensors(graph.with_suffix(".weights").read_bytes())
        rows = read_tensors(graph.with_suffix(".rows").read_bytes())["x"]
        model = Model(load(graph.read_bytes()), weights, open_device(device))
        found.update(np.concatenate(in_batches(model, rows, batch)) + np.float32(0))  # type: ignore[arg-type]
    return found.hexdigest()


def write_networks(folder: Path) -> None:
    import numpy as np
    import torch

    from heldout.market.weights import Tensor, encode
    from tests.bench.networks import NETWORKS, exported, trained

    def packed(arrays: dict[str, np.ndarray]) -> bytes:
        kinds = {"float32": "F32", "int64": "I64"}
        return encode({name: Tensor(kinds[str(a.dtype)], a.shape, a.tobytes()) for name, a in arrays.items()})

    torch.manual_seed(2)
    for name, make in NETWORKS.items():
        network = make()
        data = trained(network, steps=3)
        graph, weights = exported(network.module, data.rows)
        (folder / f"{name}.onnx").write_bytes(graph)
        (folder / f"{name}.weights").write_bytes(packed(weights))
        (folder / f"{name}.rows").write_bytes(packed({"x": data.test_rows[:110]}))


def peak_memory(folder: Path, name: str, kind: str) -> int:
    """Kilobytes this process took to run one network over all rows, as torch does or as a validator does."""
    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.engine.model import Model
    from heldout.kernels.loader import load
    from heldout.kernels.score import read_tensors

    rows = read_tensors((folder / f"{name}.rows").read_bytes())["x"]
    if kind == "torch":
        import torch

        from tests.bench.networks import NETWORKS

        network = NETWORKS[name]()
        with torch.inference_mode():
            in_batches(lambda x: network.module(torch.from_numpy(x)), rows, network.batch)
    else:
        weights = read_tensors((folder / f"{name}.weights").read_bytes())
        model = Model(load((folder / f"{name}.onnx").read_bytes()), weights, open_device("numpy"))
        in_batches(model, rows, 64)  # type: ignore[arg-type]
    # Not ru_maxrss, which a child inherits from whoever started it.
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def report_memory(folder: Path) -> None:
    for name in LIMITS:
        command = [sys.executable, "-m", "tests.bench.bench_score", "memory", str(folder), name]
        exact, plain = (int(subprocess.check_output([*command, kind]).split()[-1]) for kind in ("exact", "torch"))
        method = f"peak RSS of a process that scores with NumPy, {exact >> 10} MiB, over torch's, {plain >> 10} MiB"
        report(f"score.memory.{name}", exact / plain, "ratio", method)


def differing_bits(folder: Path) -> None:
    """Every combination of device, threads and batch, and old instruction sets: how many digests are not the first."""
    runs = list(itertools.product(("numpy", "torch"), (1, 2), BATCHES, ({},)))
    runs += [("torch", 2, 100, setting) for setting in _SETTINGS[1:]] + [("torch", 2, 100, dict(_merged()))]
    runs += [("numpy", 2, 100, {"OPENBLAS_CORETYPE": "Nehalem"})]
    runs += [("vulkan", 2, batch, {}) for batch in (7, 100) if _has_vulkan()]
    digests = []
    for device, threads, batch, setting in runs:
        command = [sys.executable, "-m", "tests.bench.bench_score", "digest", str(folder), device, str(batch)]
        variables = {
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
        }
        done = subprocess.run(command, env={**os.environ, **variables, **setting}, check=True, stdout=subprocess.PIPE)
        digests.append(done.stdout.split()[-1])
    differing = sum(each != digests[0] for each in digests)
    method = (
        f"{len(runs)} runs: NumPy (OpenBLAS) and torch (MKL), threads 1 and 2, batches 1, 7, 100, all; old CPUs; "
        f"Vulkan {'too' if _has_vulkan() else 'is not here'}; ARM is in ./run deep"
    )
    report("score.bits_differing", differing, "runs", method)


def _has_vulkan() -> bool:
    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.errors import NoDevice

    try:
        open_device("vulkan")
    except NoDevice:
        return False
    return True


def _merged() -> Iterator[tuple[str, str]]:
    for setting in _SETTINGS:
        yield from setting.items()


def main(arguments: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    match arguments:
        case ["measure", name, threads]:
            measure(name, int(threads))
        case ["digest", folder, device, batch]:
            print(digest(Path(folder), device, int(batch)))
        case ["memory", folder, name, kind]:
            print(peak_memory(Path(folder), name, kind))
        case _:
            if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
                raise SystemExit("bench score: pip install torch==2.13.0 onnxscript==0.7.2")
            for name, threads in itertools.product(LIMITS, ("1", "2")):
                variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
                command = [sys.executable, "-m", "tests.bench.bench_score", "measure", name, threads]
                subprocess.run(command, env={**os.environ, **variables}, check=True)
            with tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder:
                write_networks(Path(folder))
                report_memory(Path(folder))
                differing_bits(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
