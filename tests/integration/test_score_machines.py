"""P9.2: order, threads, batch, BLAS and processor cannot change one bit. Each machine here is a process of its own."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.kernels.devices.choice import open_device
from heldout.kernels.errors import NoDevice
from tools import arm

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parent.parent / "score_bits.py"
OLD = " ".join(np._core._multiarray_umath.__cpu_dispatch__)  # type: ignore[attr-defined]
"""Everything that NumPy uses beyond what each processor of its kind has."""


def machine(threads: int, core: str = "", without: str = "") -> dict[str, str]:
    """The environment that makes NumPy and its BLAS believe in an older processor."""
    named = {"OPENBLAS_NUM_THREADS": str(threads), "OPENBLAS_CORETYPE": core, "NPY_DISABLE_CPU_FEATURES": without}
    return {"PATH": os.environ["PATH"], **{name: value for name, value in named.items() if value}}


ROWS, FEW = "101", "20"
"""More than the largest batch; and few, for an emulator."""


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return bits([sys.executable, str(SCRIPT), ROWS], machine(1))


def bits(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


MACHINES: dict[str, dict[str, str]] = {
    "two threads, AVX2": machine(2, "Haswell"),
    "no AVX": machine(2, "Prescott", OLD),
    "no AVX2": machine(1, "Sandybridge"),
}
if platform.machine() != "x86_64":
    MACHINES = {"two threads": machine(2)}  # the other names are of processors of its kind


@pytest.mark.parametrize("environment", MACHINES.values(), ids=MACHINES.keys())
def test_an_older_processor_or_more_threads_make_the_same_bits(
    here: dict[str, Any], environment: dict[str, str]
) -> None:
    """0 bits differ, in outputs and in verdicts."""
    assert bits([sys.executable, str(SCRIPT), ROWS], environment) == here


def torch_machine(threads: int, **more: str) -> dict[str, str]:
    """Its BLAS is MKL, and oneDNN convolves."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {"PATH": os.environ["PATH"], **counts, **more}


DEVICES: dict[str, tuple[str, dict[str, str]]] = {
    "torch, one thread": ("torch", torch_machine(1)),
    "torch, two threads": ("torch", torch_machine(2)),
    "torch, AVX2": (
        "torch",
        torch_machine(2, ATEN_CPU_CAPABILITY="avx2", MKL_CBWR="AVX2", ONEDNN_MAX_CPU_ISA="AVX2"),
    ),
    "torch, no AVX": (
        "torch",
        torch_machine(2, ATEN_CPU_CAPABILITY="default", MKL_CBWR="COMPATIBLE", ONEDNN_MAX_CPU_ISA="SSE41"),
    ),
    "vulkan": ("vulkan", machine(2)),
}


@pytest.mark.deep
@pytest.mark.parametrize(("device", "environment"), DEVICES.values(), ids=DEVICES.keys())
def test_another_device_makes_the_same_bits(here: dict[str, Any], device: str, environment: dict[str, str]) -> None:
    """P9.3: whole models in every batch, where `test_devices` tries one operation after the other."""
    try:
        open_device(device)
    except NoDevice as problem:
        if device in os.environ.get("HELDOUT_REQUIRE_DEVICES", "").split():
            pytest.fail(f"./run set this device up, but {problem.message}")
        pytest.skip(problem.message)
    assert bits([sys.executable, str(SCRIPT), ROWS, device], environment) == here


@pytest.mark.deep
@pytest.mark.parametrize("processor", ["cortex-a57", "max,pauth-impdef=on"])
def test_arm_makes_the_same_bits(processor: str) -> None:
    """Once without and once with SVE, under QEMU: another architecture, compiler, BLAS and maths library."""
    if not arm.installed():
        message = "no ARM to emulate: ./run deep sets it up"
        if os.environ.get("HELDOUT_REQUIRE_ARM"):
            pytest.fail(message)
        pytest.skip(message)
    environment = {"PATH": os.environ["PATH"], **arm.environment(OPENBLAS_NUM_THREADS="2")}
    here = bits([sys.executable, str(SCRIPT), FEW], machine(1))
    assert bits(arm.command(str(SCRIPT), FEW, cpu=processor), environment) == here
