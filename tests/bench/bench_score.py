"""What exactness costs: score-v1 against torch float32 in eager mode, on the same rows, in turn, in one process.

Three networks are trained on scikit-learn's digits until they know them, exported with `torch.onnx.export` and scored:
an MLP 784-512-512-10, a CNN, and a transformer of 4 layers and width 256 with a causal mask. A ratio is the median of
many, each of two times taken one right after the other; beside it stand the ratio of the lowest times and that of
processor time, to tell what other work did. `score.bits_differing` counts over all machines that this one can be;
beside it stands what plain float32 does on a few, or a count of 0 would prove nothing. `./run bench` installs it all.
"""

import importlib.util
import itertools
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.bench.figure import report
from tests.bench.score_parts import FEW, LIMITS
from tools import arm

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 7, 100, FEW)
ARM_ROWS = 4
"""An emulator is slow."""
_BASELINE = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": " ".join(np._core._multiarray_umath.__cpu_dispatch__),  # type: ignore[attr-defined]
}
_OLD_MKL = ({"MKL_CBWR": "COMPATIBLE"}, {"ATEN_CPU_CAPABILITY": "default"}, {"ONEDNN_MAX_CPU_ISA": "SSE41"})
_AVX2 = {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_CORES = ("Haswell", "Sandybridge")
"""AVX2 and AVX, as OpenBLAS calls them."""
_OLD_NUMPY = (_BASELINE, *({"OPENBLAS_CORETYPE": core} for core in _CORES)) if platform.machine() == "x86_64" else ()


class Run(NamedTuple):
    """One machine: a device, threads of its BLAS, a size of batches, and an environment; or an ARM of QEMU's."""

    device: str
    threads: int
    batch: int
    environment: Mapping[str, str] = {}
    arm: str = ""


def part(*arguments: object, **environment: str) -> bytes:
    """What a part prints, which runs in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.score_parts", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE).stdout


def said(*arguments: object, **environment: str) -> None:
    """The same for one that reports figures itself."""
    sys.stdout.write(part(*arguments, **environment).decode())
    sys.stdout.flush()


def report_memory(folder: Path) -> None:
    """Of whole processes, so with the libraries they load: a validator with NumPy alone, and one that has torch."""
    for name in LIMITS:
        sizes = {device: int(part("memory", folder, name, device)) for device in ("eager", "numpy", "torch")}
        for device, suffix in (("torch", ""), ("numpy", ".numpy")):
            shown = f"{sizes[device] >> 10} MiB, over torch fp32 eager's, {sizes['eager'] >> 10} MiB; at most 2"
            report(
                f"score.memory.{name}{suffix}",
                sizes[device] / sizes["eager"],
                "ratio",
                f"peak RSS of a process that scores with device {device}, {shown}",
            )


# --------------------------------------------------------------------------------------------------------------- bits


def machines() -> list[Run]:
    """Threads, batches, BLAS and instruction sets, and other kinds of machines if they are installed."""
    runs = [Run(*each) for each in itertools.product(("numpy", "torch"), (1, 2), BATCHES)]
    runs += [Run("torch", 2, 100, setting) for setting in (*_OLD_MKL, _AVX2)]
    runs += [Run("torch", 2, 7, {key: value for setting in _OLD_MKL for key, value in setting.items()})]
    runs += [Run("numpy", 2, 100, setting) for setting in _OLD_NUMPY]
    runs += [Run("vulkan", 2, batch) for batch in (7, FEW) if _has_vulkan()]
    if arm.installed():
        runs += [Run("numpy", threads, 2, {}, cpu) for threads, cpu in ((1, "cortex-a57"), (2, "max,pauth-impdef=on"))]
    return runs


def outputs(folder: Path, run: Run) -> np.ndarray:
    """The bits that a machine makes of every network, uint32."""
    with tempfile.NamedTemporaryFile() as target:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        variables = {**dict.fromkeys(names, str(run.threads)), **run.environment}
        arguments = ["outputs", str(folder), run.device, str(run.batch), str(ARM_ROWS if run.arm else FEW), target.name]
        if run.arm:
            more = arm.environment(**variables)
            more["PYTHONPATH"] += f":{ROOT}"
            command = arm.command("-m", "tests.bench.score_parts", *arguments, cpu=run.arm)
            subprocess.run(command, env={"PATH": os.environ["PATH"], **more}, check=True)
        else:
            part(*arguments, **variables)
        return np.frombuffer(Path(target.name).read_bytes(), "<u4")


def first_rows(bits: np.ndarray) -> np.ndarray:
    """What `ARM_ROWS` rows of each network made: all have 10 outputs."""
    return bits.reshape(len(LIMITS), FEW, -1)[:, :ARM_ROWS].ravel()


def differing(folder: Path, runs: list[Run]) -> tuple[int, int]:
    """Bits that are not those of the first run, and bits compared."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda run: outputs(folder, run), runs))
    expected = [first_rows(found[0]) if run.arm else found[0] for run in runs]
    count = sum(int(np.bitwise_count(a ^ b).sum()) for a, b in zip(found, expected, strict=True))
    return count, sum(32 * len(bits) for bits in found[1:])


def report_bits(folder: Path) -> None:
    runs = machines()
    count, compared = differing(folder, runs)
    here = (
        "Vulkan and ARM" if _has_vulkan() and arm.installed() else "NOT Vulkan and ARM both: ./run bench sets them up"
    )
    method = (
        f"of {compared:,} in {len(runs)} runs of three networks: NumPy (OpenBLAS), torch (MKL, oneDNN), threads 1 and "
        f"2, batches 1, 7, 100 and all, CPUs of AVX2, of AVX and of neither, {here}"
    )
    report("score.bits_differing", count, "bits", method)
    control = [Run("float32", 1, FEW), Run("float32", 2, 1), *(Run("float32", 1, FEW, each) for each in _OLD_NUMPY)]
    count, compared = differing(folder, control)
    report("score.bits_differing.float32", count, "bits", f"of {compared:,} in {len(control)} runs without grids")


@cache
def _has_vulkan() -> bool:
    from heldout.kernels.devices.choice import open_device
    from heldout.kernels.errors import NoDevice

    try:
        open_device("vulkan")
    except NoDevice:
        return False
    return True


def main() -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
        raise SystemExit("bench score: pip install torch==2.13.0 onnxscript==0.7.2, or ./run bench score")
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as name:
        folder = Path(name)
        for network in LIMITS:
            said("train", folder, network)
            for threads in ("1", "2"):
                settings = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
                said("ratio", folder, network, threads, **settings)
            said("accuracy", folder, network, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="2")
        report_memory(folder)
        report_bits(folder)


if __name__ == "__main__":
    main()
