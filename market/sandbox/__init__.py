"""What "run a job" means for everybody who runs one: provider, requester's `job check`, tests.

A job is a stranger's program. It sees three folders and nothing else:

    /in/task   read-only   the requester's files
    /in/data   read-only   the training shards, *.safetensors
    /out       read-write  quota `limits.disk_bytes`; weights.safetensors is collected by name, checkpoint/ survives
    /tmp, /scratch         memory-backed, gone with the container

and these variables: HELDOUT_SEED and HELDOUT_THREADS from the caller; HELDOUT_IN and HELDOUT_OUT, the roots of the
above (`/in` and `/out` except under the process runner, which cannot mount).

    start ──▶ logs ──▶ wait ──▶ collect ──▶ discard
      ▲                 │
      └── next attempt ─┘   the job's /out is kept between attempts: a checkpoint written before a crash is found again

Backends: `docker` (the full profile, see `profile.py`) and `process` (a devnet's own chain only; isolates nothing).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from heldout.market.sandbox.errors import (
    AttemptLost,
    ImageRefused,
    OutputRefused,
    SandboxRefused,
    SandboxUnavailable,
    SandboxUnhealthy,
)

__all__ = [
    "DEVNET_CHAIN_ID",
    "WEIGHTS_NAME",
    "AttemptLost",
    "Collected",
    "Handle",
    "ImageRefused",
    "Limits",
    "OutputRefused",
    "RunReport",
    "RunSpec",
    "Runner",
    "SandboxRefused",
    "SandboxUnavailable",
    "SandboxUnhealthy",
    "open_runner",
]

WEIGHTS_NAME = "weights.safetensors"
DEVNET_CHAIN_ID = 31337
MIB = 1 << 20

_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use. All hard: the kernel enforces each, not the job's good will.

    `memory_bytes` covers tmpfs and shared memory too, and there is no swap. `pids` counts threads.
    `seconds` is wall time of one attempt.
    """

    cpus: float = 1.0
    memory_bytes: int = 1024 * MIB
    pids: int = 256
    disk_bytes: int = 256 * MIB
    disk_files: int = 4096
    scratch_bytes: int = 64 * MIB
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        wrong = [name for name in self.__slots__ if getattr(self, name) <= 0]
        if wrong:
            raise SandboxRefused(f"limits must be positive: {', '.join(wrong)}", hint="see [resources] in job.toml")


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt at one job.

    `image` is an image id or digest (`sha256:…`), never a tag. `command` may name files under /in and /out.
    `task_dir` and `data_dir` are shown read-only. `deadline` is in Unix seconds: whatever happens to the node, the
    attempt is stopped by the earlier of `deadline` and start + `limits.seconds`, or at the node's next start.
    """

    job: str
    attempt: str
    image: str
    command: Sequence[str]
    task_dir: Path
    data_dir: Path
    deadline: float
    limits: Limits = field(default_factory=Limits)
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.job, self.attempt):
            if not _SAFE_ID.fullmatch(name):
                raise SandboxRefused(f"{name!r} cannot name a job or an attempt", hint="letters, digits, . _ - only")
        if not self.command or not all(self.command):
            raise SandboxRefused("the job has no command", hint="set [task] command in job.toml")

    def variables(self, *, inputs: str, out: str, scratch: str, tmp: str) -> dict[str, str]:
        """The job's whole environment, but for PATH."""
        threads = str(max(1, int(self.limits.cpus)))
        return {
            "HOME": scratch,
            "TMPDIR": tmp,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": threads,
            "HELDOUT_THREADS": threads,
            **self.env,
            "HELDOUT_IN": inputs,
            "HELDOUT_OUT": out,
        }


@dataclass(frozen=True, slots=True)
class Handle:
    """A started attempt, also once it has ended and after a restart of the node. `ref` is the backend's name for it."""

    job: str
    attempt: str
    ref: str
    image: str
    started: float
    deadline: float


@dataclass(frozen=True, slots=True)
class RunReport:
    """How an attempt ended, for the provenance record (the idea of isolate's meta file).

    `killed_by` is None, "deadline", "memory", "disk", "stopped" or "signal". Times in seconds, sizes in bytes;
    `bytes_out` counts what lies in /out. `cpu_s` and `peak_memory` are sampled: the last second may be missing.
    `log_sha256` covers the cleaned lines, each ended by a newline.
    """

    exit_code: int
    killed_by: str | None
    wall_s: float
    cpu_s: float
    peak_memory: int
    bytes_out: int
    image: str
    log_sha256: bytes

    @property
    def ok(self) -> bool:
        """The job ended by itself and says that it succeeded."""
        return self.exit_code == 0 and self.killed_by is None


@dataclass(frozen=True, slots=True)
class Collected:
    """A private copy of one output file: nothing the job does later can change these bytes."""

    path: Path
    sha256: bytes
    size: int


class Runner(Protocol):
    """A place to run jobs. Safe to call from one event loop; blocking work happens in threads."""

    @property
    def isolates(self) -> bool:
        """Whether strangers' code may be run here."""

    async def check(self) -> None:
        """Raises SandboxUnavailable, with a hint, if nothing could be run now."""

    async def has_image(self, image: str) -> bool:
        """Whether `image` (id or digest) can be run without fetching anything."""

    async def load_image(self, archive: Path, image: str) -> None:
        """Load an image archive out of the artifact store. Raises ImageRefused if it contains anything but `image`."""

    async def save_image(self, image: str, archive: Path) -> None:
        """Write `image` as an archive that `load_image` takes."""

    async def start(self, spec: RunSpec) -> Handle:
        """Start an attempt. Raises ImageRefused, SandboxUnavailable, or SandboxRefused while one of this job runs."""

    async def running(self) -> list[Handle]:
        """Attempts of this node that run now, found by label, whoever started them."""

    async def reconcile(self, jobs: Collection[str]) -> list[Handle]:
        """Adopt or remove, at every start of a node and now and then after.

        Attempts of `jobs` that are within their deadline stay and are returned, ended ones too (`wait` tells how they
        ended). Every other attempt is killed and removed, and the disks of jobs not named are deleted.
        """

    def logs(self, handle: Handle) -> AsyncIterator[str]:
        """Lines of stdout and stderr from the first one kept, until the job ends. Control characters are stripped,
        lines and total are cut (`logs.py`). A job may print anything: never act on what stands here."""

    async def wait(self, handle: Handle) -> RunReport:
        """Wait for the end, enforcing the deadline; can be called again, also after a restart of the node.

        Raises AttemptLost if somebody removed the attempt."""

    async def stop(self, handle: Handle, grace_s: float = 2.0) -> None:
        """TERM, then KILL after `grace_s`. No error if it has ended. Raises SandboxUnhealthy if it cannot be killed."""

    async def collect(self, handle: Handle, name: str = WEIGHTS_NAME, max_bytes: int = 64 * MIB) -> Collected:
        """Copy one regular file out of the ended attempt's /out. Raises OutputRefused."""

    async def discard(self, job: str) -> None:
        """Remove every trace of a job: containers, its /out, collected copies. Idempotent."""


def open_runner(kind: str, state: Path, *, chain_id: int) -> Runner:
    """The runner of this node. `kind` is "docker" or "process"; everything it writes lies under `state`.

    Raises SandboxUnavailable without the Docker SDK, SandboxRefused for "process" on a chain that is not a devnet.
    """
    if kind == "process":
        from heldout.market.sandbox.process import ProcessRunner

        return ProcessRunner(state, chain_id=chain_id)
    if kind == "docker":
        from heldout.market.sandbox.docker import DockerRunner

        return DockerRunner(state)
    raise SandboxRefused(f"no runner called {kind!r}", hint='use "docker", or "process" on a devnet')
