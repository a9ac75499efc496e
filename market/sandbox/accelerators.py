"""Graphics cards and their like, as plug-ins: entry points of the group `heldout.accelerators`, by the node's choice.

A plug-in finds devices and says what a container needs to see some of them, and no others. Whole devices are granted,
by number: their memory cannot be limited, so no two running jobs hold the same one. What a job leaves in a device's
memory is its driver's to clear: nothing here can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from heldout.market.sandbox.errors import SandboxUnavailable

GROUP = "heldout.accelerators"
_TOOL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """`id` names it for ever (a UUID, a path); `memory_bytes` is 0 where it is not known."""

    id: str
    name: str
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a container is given: device nodes (`/host:/container:rwm`), requests to the engine, groups, variables."""

    devices: Sequence[str] = ()
    requests: Sequence[Mapping[str, Any]] = ()
    groups: Sequence[int] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Accelerator(Protocol):
    """One kind of device."""

    tiers: Sequence[str]
    """Those in which a job can be given one."""

    def devices(self) -> Sequence[Device]:
        """What this machine has now. Never raises: a driver that fails has no devices."""

    def grant(self, chosen: Sequence[str]) -> Grant:
        """How a container comes to see the devices of these ids."""


class NoAccelerator:
    """A node without devices."""

    tiers: Sequence[str] = ()

    def devices(self) -> Sequence[Device]:
        return ()

    def grant(self, chosen: Sequence[str]) -> Grant:
        return Grant()


class Cuda:
    """NVIDIA cards, through the container toolkit's hook, which Docker calls for a device request."""

    tiers = ("standard",)

    def devices(self) -> Sequence[Device]:
        lines = _tool("nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")
        return [_cuda_device(line) for line in lines if line.count(",") >= 2]

    def grant(self, chosen: Sequence[str]) -> Grant:
        capabilities = [["gpu", "compute", "utility"]]
        return Grant(requests=[{"driver": "nvidia", "device_ids": list(chosen), "capabilities": capabilities}])


class Vulkan:
    """Cards with a render node, shown as that node and the group that owns it."""

    tiers = ("standard",)

    def __init__(self, nodes: Path = Path("/dev/dri")) -> None:
        self._nodes = nodes

    def devices(self) -> Sequence[Device]:
        return [Device(str(node), f"render node {node.name}") for node in sorted(self._nodes.glob("renderD*"))]

    def grant(self, chosen: Sequence[str]) -> Grant:
        groups = sorted({os.stat(node).st_gid for node in chosen})
        return Grant(devices=[f"{node}:{node}:rw" for node in chosen], groups=groups)


def find_accelerator(name: str) -> Accelerator:
    """The plug-in with that name; none for the empty name. Raises SandboxUnavailable naming those there are."""
    if not name:
        return NoAccelerator()
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise SandboxUnavailable(
            f"no accelerator called {name!r} is installed", hint=f"there are: {', '.join(sorted(known)) or 'none'}"
        )
    found: Accelerator = known[name].load()()
    return found


def _cuda_device(line: str) -> Device:
    uuid, name, memory = (part.strip() for part in line.split(",", 2))
    return Device(uuid, name, int(memory) << 20 if memory.isdigit() else 0)


def _tool(*command: str) -> list[str]:
    """The lines a vendor's tool prints; none if it is absent, fails or hangs."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
