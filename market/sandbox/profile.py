"""The hardened profile: one attempt as keyword arguments of docker-py's `containers.create`.

network     none, and the seccomp list allows AF_UNIX sockets only
privilege   a uid of its own, every capability dropped, no-new-privileges, own seccomp allow-list (`seccomp.json`)
files       root read-only; /in read-only; /out quota, nodev nosuid noexec; /tmp, /scratch tmpfs, noexec
resources   memory without swap, cores by number, cpus, pids, CPU seconds, file size, open files, no core dumps, log
image       by id; its ENTRYPOINT, CMD, USER, WORKDIR, ENV and HEALTHCHECK count for nothing, VOLUME is refused
kernel      the tier's runtime: the host's kernel, or gVisor's
crash       labels say whose it is and when it must be gone: what outlives a node is found again by `reconcile`
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from heldout.market.sandbox import STRICT, RunSpec
from heldout.market.sandbox.accelerators import Grant
from heldout.market.sandbox.limits import Limits
from heldout.market.sandbox.meter import cpu_seconds
from heldout.market.sandbox.places import Place

LABEL_NODE = "heldout.node"
LABEL_JOB = "heldout.job"
LABEL_ATTEMPT = "heldout.attempt"
LABEL_DEADLINE = "heldout.deadline"
LABEL_LATEST = "heldout.latest"
LABEL_LIMITS = "heldout.limits"
LABEL_PLACE = "heldout.place"
LABEL_TIER = "heldout.tier"
LABEL_KEEPER = "heldout.keeper"
LABEL_VOLUME = "heldout.volume"

_SECCOMP = Path(__file__).with_name("seccomp.json")
_SHM_BYTES = 32 << 20
_TMP_FILES = 4096
_OPEN_FILES = 1024
_LOG_ON_DISK = "32m"  # more than is read before a flood is ended: engines lose lines when they rotate
_KEEPER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where engines that speak one API differ. Podman reads the seccomp list from a path, and knows neither owner nor
    number of inodes of a tmpfs: there the memory limit alone ends a flood of empty files. Its log followers are cut off
    when a container ends, its health checks need systemd, a bare name in the environment would bring the service's own
    value in, removing an image takes nameless parents along, and on cgroup v1 it leaves /sys/fs/cgroup writable."""

    seccomp_by_path: bool = False
    tmpfs_has_inodes: bool = True
    follows_to_the_end: bool = True
    bare_name_unsets: bool = True
    prunes_parents: bool = False
    masked: tuple[str, ...] = ()
    healthcheck: Mapping[str, Any] = field(default_factory=lambda: {"test": ["NONE"]})


DOCKER = Dialect()
PODMAN = Dialect(
    seccomp_by_path=True,
    tmpfs_has_inodes=False,
    follows_to_the_end=False,
    healthcheck={},
    bare_name_unsets=False,
    prunes_parents=True,
    masked=("/sys/fs/cgroup",),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the node decided about one attempt. `image` is the engine's own description; `out` a path or a volume."""

    node: str
    image: Mapping[str, Any]
    out: str
    deadline: float
    place: Place
    runtime: str
    grant: Grant
    dialect: Dialect = DOCKER
    pins_cores: bool = True


def node_label(state: Path) -> str:
    """Tells this node's containers from those of other nodes on the same engine."""
    return hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]


def container_options(spec: RunSpec, setting: Setting) -> dict[str, Any]:
    """Everything `containers.create` needs."""
    grant, strict = setting.grant, spec.tier == STRICT
    return {
        "image": setting.image["Id"],
        "name": f"heldout-{setting.node[:8]}-{spec.job}-{spec.attempt}",
        "entrypoint": [spec.command[0]],
        "command": list(spec.command[1:]),
        "working_dir": "/scratch",
        "environment": _environment(spec, setting, setting.image["Config"].get("Env") or ()),
        "healthcheck": dict(setting.dialect.healthcheck),
        "stop_signal": "SIGTERM",
        "log_config": LogConfig(type="json-file", config={"max-size": _LOG_ON_DISK, "max-file": "2"}),
        "labels": _labels(spec, setting),
        "devices": list(grant.devices),
        "device_requests": [DeviceRequest(**request) for request in grant.requests],
        "group_add": [str(group) for group in grant.groups],
        **({"runtime": setting.runtime} if setting.runtime else {}),
        **_walls(setting.dialect, setting.place.uid, strict),
        **_resources(spec.limits, setting, strict),
        "mounts": [
            _bind("/in/task", str(spec.task_dir.resolve()), read_only=True),
            _bind("/in/data", str(spec.data_dir.resolve()), read_only=True),
            _bind("/out", setting.out, read_only=False),
        ],
    }


def _walls(dialect: Dialect, uid: int, strict: bool) -> dict[str, Any]:
    """What no container of ours is ever without."""
    seccomp = str(_SECCOMP.resolve()) if dialect.seccomp_by_path else _seccomp(strict)
    return {
        "user": f"{uid}:{uid}",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", f"seccomp={seccomp}", *(f"mask={path}" for path in dialect.masked)],
        "ipc_mode": "private",
        "cgroupns": "private",
        "oom_score_adj": 900,
    }


def _seccomp(strict: bool) -> str:
    """The list as JSON. gVisor answers EPERM to what a list refuses, whatever errno the list names; libc takes only
    ENOSYS as a reason to do without clone3, so there gVisor itself is left to answer, whose namespaces are its own."""
    listed = _SECCOMP.read_text()
    if not strict:
        return listed
    rules = json.loads(listed)
    for rule in rules["syscalls"]:
        if rule["names"] == ["clone3"]:
            rule["action"] = "SCMP_ACT_ALLOW"
            del rule["errnoRet"]
    return json.dumps(rules)


def tasks(limits: Limits, strict: bool) -> int:
    """Tasks of the host that a job may have. gVisor's kernel is made of threads too, and needs some for each of a
    job's: too few would kill an honest job."""
    return 3 * limits.pids + 128 if strict else limits.pids


def _resources(limits: Limits, setting: Setting, strict: bool) -> dict[str, Any]:
    uid = setting.place.uid
    # The owner counts: runc gives a tmpfs the mode of the image's folder below it, whatever is asked here.
    owned = f",nr_inodes={_TMP_FILES},uid={uid},gid={uid}" if setting.dialect.tmpfs_has_inodes else ""
    return {
        "pids_limit": tasks(limits, strict),
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(limits.cpus * 1e9),
        "cpuset_cpus": ",".join(map(str, setting.place.cores)) if setting.pins_cores else "",
        "shm_size": min(_SHM_BYTES, limits.scratch_bytes),
        "tmpfs": dict.fromkeys(
            ("/tmp", "/scratch"), f"size={limits.scratch_bytes},noexec,nosuid,nodev,mode=1777{owned}"
        ),
        "ulimits": [
            _ulimit("nofile", _OPEN_FILES),
            _ulimit("nproc", tasks(limits, strict)),
            _ulimit("core", 0),
            _ulimit("fsize", max(limits.disk_bytes, limits.scratch_bytes)),
            _ulimit("cpu", cpu_seconds(limits)),
        ],
    }


def _labels(spec: RunSpec, setting: Setting) -> dict[str, str]:
    return {
        LABEL_NODE: setting.node,
        LABEL_JOB: spec.job,
        LABEL_ATTEMPT: spec.attempt,
        LABEL_DEADLINE: repr(setting.deadline),
        LABEL_LATEST: repr(spec.deadline),
        LABEL_LIMITS: json.dumps(asdict(spec.limits)),
        LABEL_PLACE: json.dumps(asdict(setting.place)),
        LABEL_TIER: spec.tier,
    }


def limits_of(labels: Mapping[str, str]) -> Limits:
    """The limits that a container was started with."""
    return Limits(**json.loads(labels[LABEL_LIMITS]))


def place_of(labels: Mapping[str, str]) -> Place:
    """What a container was given to itself."""
    raw = json.loads(labels[LABEL_PLACE])
    return Place(raw["uid"], tuple(raw["cores"]), tuple(raw["devices"]))


def volume_options(node: str, spec: RunSpec, uid: int) -> dict[str, Any]:
    """A memory-backed /out, as keyword arguments of `volumes.create`."""
    limits = spec.limits
    blocks = -(-limits.disk_bytes // os.sysconf("SC_PAGE_SIZE"))  # Podman takes `size` for a project quota
    room = f"nr_blocks={blocks},nr_inodes={limits.disk_files}"
    return {
        "name": f"heldout-{node[:8]}-{spec.job}",
        "driver": "local",
        "driver_opts": {
            "type": "tmpfs",
            "device": "tmpfs",
            "o": f"{room},noexec,nosuid,nodev,mode=0700,uid={uid},gid={uid}",
        },
        "labels": {LABEL_NODE: node, LABEL_VOLUME: spec.job, LABEL_LIMITS: str(limits.disk_bytes)},
    }


def keeper_options(node: str, spec: RunSpec, volume: str, uid: int, dialect: Dialect) -> dict[str, Any]:
    """A container that holds a volume and is paused as soon as it runs. It has the job's walls, for it is the job's
    image."""
    return {
        "image": spec.image,
        "name": f"heldout-{node[:8]}-{spec.job}-keeper",
        "entrypoint": ["sleep", "infinity"],
        "healthcheck": dict(dialect.healthcheck),
        "labels": {LABEL_NODE: node, LABEL_KEEPER: spec.job, LABEL_PLACE: str(uid)},
        **_walls(dialect, uid, strict=False),
        "pids_limit": 4,
        "mem_limit": _KEEPER_BYTES,
        "memswap_limit": _KEEPER_BYTES,
        "ulimits": [_ulimit("nofile", 64), _ulimit("nproc", 64), _ulimit("core", 0)],
        "mounts": [_bind("/out", volume, read_only=False)],
    }


def let_job_read(folder: Path) -> None:
    """Open the inputs to the job's uid. Their parent stays closed to everybody else on this machine."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _environment(spec: RunSpec, setting: Setting, image_env: Iterable[str]) -> list[str]:
    """Ours and PATH. A bare name removes what the image set: LD_PRELOAD, PYTHONSTARTUP, whatever it was."""
    ours = spec.variables(inputs="/in", out="/out", scratch="/scratch", tmp="/tmp") | dict(setting.grant.environment)
    dropped = sorted({entry.split("=", 1)[0] for entry in image_env} - {"PATH"} - ours.keys())
    emptied = dropped if setting.dialect.bare_name_unsets else [f"{name}=" for name in dropped]
    return [f"{name}={value}" for name, value in ours.items()] + emptied


def _ulimit(name: str, value: int) -> Ulimit:
    return Ulimit(name=name, soft=value, hard=value)


def _bind(target: str, source: str, *, read_only: bool) -> Mount:
    """`source` is an absolute path, or else the engine's name for a volume, which keeps its owner and stays empty."""
    if source.startswith("/"):
        return Mount(target, source, type="bind", read_only=read_only)
    return Mount(target, source, type="volume", read_only=read_only, no_copy=True)
