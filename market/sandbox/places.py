"""Where on this machine an attempt goes: a uid of its own, cores of its own, devices of its own. Pure.

Kernel limits per user (inotify, pending signals, processes) are shared by all containers of one uid, so no two running
jobs have the same. Cores are granted by number, so that `nproc` and `os.sched_getaffinity` inside say what was granted.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from heldout.market.sandbox.errors import SandboxRefused

UIDS = range(60706, 61184)
"""Used by nobody: between the ranges that systemd's uids-gids document gives to containers and to dynamic users, and
below 65536, so that a rootless engine's map has them too."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one attempt has to itself."""

    uid: int
    cores: tuple[int, ...]
    devices: tuple[str, ...] = ()


def free_uid(job: str, taken: Collection[int]) -> int:
    """The same for every attempt of a job, unless another running job has it. Raises SandboxRefused."""
    first = int.from_bytes(hashlib.sha256(job.encode()).digest()[:4], "big")
    for step in range(len(UIDS)):
        uid = UIDS[(first + step) % len(UIDS)]
        if uid not in taken:
            return uid
    raise SandboxRefused(f"{len(UIDS)} jobs run on this engine, each with its own uid", hint="wait for one to end")


def pick_cores(have: Sequence[int], taken: Iterable[int], cpus: float) -> tuple[int, ...]:
    """As many cores as `cpus` needs, those that fewest running jobs hold. Raises SandboxRefused."""
    count = math.ceil(cpus)
    if count > len(have):
        raise SandboxRefused(f"the job needs {count} cores, this machine has {len(have)}", hint="offer fewer cpus")
    load = Counter(taken)
    return tuple(sorted(sorted(have, key=lambda core: (load[core], core))[:count]))


def pick_devices(have: Sequence[str], taken: Collection[str], count: int) -> tuple[str, ...]:
    """`count` devices that no running job holds. Raises SandboxRefused."""
    free = [device for device in have if device not in taken]
    if count > len(free):
        raise SandboxRefused(
            f"the job needs {count} devices, {len(free)} of {len(have)} are free", hint="offer fewer gpus"
        )
    return tuple(free[:count])
