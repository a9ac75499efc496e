"""What a machine is, read from its own words (issue 2 item 5: ARM or x64, CPU features, CUDA, Vulkan)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from heldout.provider.hardware import architecture, probe, read_cpuinfo, read_vulkan

X64 = "processor\t: 0\nmodel name\t: Example CPU 3000\nflags\t\t: fpu sse4_2 avx avx2 fma\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve i8mm\nCPU implementer\t: 0x41\n"


def test_cpu_features_are_read_on_both_architectures() -> None:
    assert read_cpuinfo(X64) == ("Example CPU 3000", ("avx", "avx2", "fma", "sse4_2"))
    assert read_cpuinfo(ARM) == ("", ("asimd", "sve", "i8mm"))
    assert read_cpuinfo("") == ("", ())


def test_architectures_have_the_names_that_images_have() -> None:
    assert architecture("x86_64") == architecture("AMD64") == "amd64"
    assert architecture("aarch64") == architecture("arm64") == "arm64"
    assert architecture("riscv64") == "riscv64"


def test_a_software_rasteriser_is_no_gpu() -> None:
    lines = ["deviceName         = llvmpipe (LLVM 15.0.6, 256 bits)", "deviceName = V3D 7.1.7", "driverName = x"]
    assert read_vulkan(lines) == ("V3D 7.1.7",)


def test_this_machine_can_be_probed(tmp_path: Path) -> None:
    found = probe(tmp_path / "not" / "there" / "yet")
    assert found.platform.count("/") == 1
    assert found.cores >= 1 and found.memory_bytes > 1 << 28 and found.disk_free_bytes > 0


def test_the_daemon_imports_neither_numpy_nor_torch() -> None:
    """Architecture: training runs in a container, scoring in a child; an idle node stays small."""
    code = (
        "import sys, heldout.provider.assembly, heldout.provider.running, heldout.provider.checking\n"
        "print([name for name in ('numpy', 'torch', 'onnx', 'web3', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
