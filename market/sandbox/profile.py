"""The hardened profile: one attempt as keyword arguments of docker-py's `containers.create`.

network     none, and the seccomp list allows AF_UNIX sockets only
privilege   uid 65532, every capability dropped, no-new-privileges, own seccomp allow-list (`seccomp.json`)
files       root read-only; /in read-only; /out quota, nodev nosuid noexec; /tmp, /scratch tmpfs, noexec
resources   memory without swap, cpus, pids, CPU seconds, file size, open files, no core dumps, log size
image       by id; its ENTRYPOINT, CMD, USER, WORKDIR, ENV and HEALTHCHECK count for nothing, VOLUME is refused
crash       labels say whose it is and when it must be gone: what outlives a node is found again by `reconcile`
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from heldout.market.sandbox import RunSpec
from heldout.market.sandbox.disk import JOB_UID

LABEL_NODE = "heldout.node"
LABEL_JOB = "heldout.job"
LABEL_ATTEMPT = "heldout.attempt"
LABEL_DEADLINE = "heldout.deadline"
LABEL_DISK = "heldout.disk"

_SECCOMP = Path(__file__).with_name("seccomp.json")
_SHM_BYTES = 32 << 20
_TMP_FILES = 4096
_OPEN_FILES = 1024
_LOG_ON_DISK = "4m"


def node_label(state: Path) -> str:
    """Tells this node's containers from those of other nodes on the same engine."""
    return hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]


def container_options(spec: RunSpec, *, node: str, image: dict[str, Any], out: Path, deadline: float) -> dict[str, Any]:
    """Everything `containers.create` needs. `image` is the engine's own description, `out` the job's disk."""
    limits = spec.limits
    uid, gid = _user()
    return {
        "image": image["Id"],
        "name": f"heldout-{node[:8]}-{spec.job}-{spec.attempt}",
        "entrypoint": [spec.command[0]],
        "command": list(spec.command[1:]),
        "user": f"{uid}:{gid}",
        "working_dir": "/scratch",
        "environment": _environment(spec, image["Config"].get("Env") or ()),
        "healthcheck": {"test": ["NONE"]},
        "stop_signal": "SIGTERM",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", f"seccomp={_SECCOMP.read_text()}"],
        "ipc_mode": "private",
        "cgroupns": "private",
        "oom_score_adj": 900,
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(limits.cpus * 1e9),
        "shm_size": min(_SHM_BYTES, limits.scratch_bytes),
        "tmpfs": dict.fromkeys(
            ("/tmp", "/scratch"),
            # The owner counts: runc gives a tmpfs the mode of the image's folder below it, whatever is asked here.
            f"size={limits.scratch_bytes},nr_inodes={_TMP_FILES},noexec,nosuid,nodev,mode=1777,uid={uid},gid={gid}",
        ),
        "ulimits": [
            _ulimit("nofile", _OPEN_FILES),
            _ulimit("core", 0),
            _ulimit("fsize", max(limits.disk_bytes, limits.scratch_bytes)),
            # Ends a busy loop even while no node is alive to look at the deadline.
            _ulimit("cpu", math.ceil(limits.seconds * max(limits.cpus, 1.0)) + 1),
        ],
        "log_config": LogConfig(type="json-file", config={"max-size": _LOG_ON_DISK, "max-file": "2"}),
        "labels": {
            LABEL_NODE: node,
            LABEL_JOB: spec.job,
            LABEL_ATTEMPT: spec.attempt,
            LABEL_DEADLINE: repr(deadline),
            LABEL_DISK: str(limits.disk_bytes),
        },
        "mounts": [
            _bind("/in/task", spec.task_dir, read_only=True),
            _bind("/in/data", spec.data_dir, read_only=True),
            _bind("/out", out, read_only=False),
        ],
    }


def let_job_read(folder: Path) -> None:
    """Open the inputs to the job's uid. Their parent stays closed to everybody else on this machine."""
    os.chmod(folder, 0o755)
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            inner = os.path.join(path, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o755 if name in folders else 0o644)


def _environment(spec: RunSpec, image_env: Iterable[str]) -> list[str]:
    """Ours and PATH. A bare name removes what the image set: LD_PRELOAD, PYTHONSTARTUP, whatever it was."""
    ours = spec.variables(inputs="/in", out="/out", scratch="/scratch", tmp="/tmp")
    dropped = {entry.split("=", 1)[0] for entry in image_env} - {"PATH"} - ours.keys()
    return [f"{name}={value}" for name, value in ours.items()] + sorted(dropped)


def _user() -> tuple[int, int]:
    """65532, or this process's own ids where it cannot mount a disk that 65532 may write to."""
    return (JOB_UID, JOB_UID) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def _ulimit(name: str, value: int) -> Ulimit:
    return Ulimit(name=name, soft=value, hard=value)


def _bind(target: str, source: Path, *, read_only: bool) -> Mount:
    return Mount(target, str(source.resolve()), type="bind", read_only=read_only)
