"""What this machine is: read from the operating system and two vendors' own tools, with no heavy import."""

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TOOL_TIMEOUT_S = 5.0
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_TELLING_FLAGS = ("avx", "avx2", "avx512f", "fma", "amx_tile", "sse4_2", "asimd", "neon", "sve", "bf16", "i8mm")
"""CPU features that decide how fast training runs, by the kernel's names on x64 and ARM."""


@dataclass(frozen=True)
class Hardware:
    """A machine as it is now. Sizes in bytes."""

    platform: str
    """As in a manifest's `image`: `linux/amd64`."""
    cpu: str
    cores: int
    """Logical ones this process may use."""
    features: tuple[str, ...]
    memory_bytes: int
    disk_free_bytes: int
    cuda: tuple[str, ...]
    """One line a device, in nvidia-smi's words."""
    vulkan: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """One line for people."""
        devices = [f"CUDA {name}" for name in self.cuda] + [f"Vulkan {name}" for name in self.vulkan]
        parts = [self.platform, f"{self.cores} cores", f"{self.memory_bytes / 2**30:.1f} GiB memory"]
        return " · ".join([*parts, f"{self.disk_free_bytes / 2**30:.0f} GiB disk", *(devices or ["no GPU"])])


def probe(home: Path) -> Hardware:
    """`home` is where jobs' files will lie: its file system's free space counts."""
    import psutil

    cpuinfo = Path("/proc/cpuinfo")
    name, features = read_cpuinfo(cpuinfo.read_text() if cpuinfo.exists() else "")
    return Hardware(
        platform=f"{platform.system().lower()}/{architecture(platform.machine())}",
        cpu=name or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        features=features,
        memory_bytes=int(psutil.virtual_memory().total),
        disk_free_bytes=shutil.disk_usage(_existing(home)).free,
        cuda=tuple(tool_lines("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")),
        vulkan=read_vulkan(tool_lines("vulkaninfo", "--summary")),
    )


def architecture(machine: str) -> str:
    """The image registries' name of a machine type; an unknown one as it is."""
    return _ARCHITECTURES.get(machine.lower(), machine.lower())


def read_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Model name and telling features in Linux's /proc/cpuinfo; both may be empty."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return fields.get("model name", ""), tuple(flag for flag in _TELLING_FLAGS if flag in flags)


def read_vulkan(lines: list[str]) -> tuple[str, ...]:
    """Device names in `vulkaninfo --summary`, without the software rasterisers, which compute on the CPU."""
    names = [line.partition("=")[2].strip() for line in lines if line.strip().startswith("deviceName")]
    return tuple(name for name in names if "llvmpipe" not in name.lower())


def tool_lines(*command: str) -> list[str]:
    """The lines a vendor's tool prints; none if it is absent, fails or hangs."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
