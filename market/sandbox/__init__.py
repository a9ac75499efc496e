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

Backends: `docker` and `podman`, as root or rootless (the full profile, see `profile.py`), and `process` (a devnet's own
chain only; isolates nothing).
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
from heldout.market.sandbox.limits import MIB, Excess, Limits, RunReport
from heldout.market.sandbox.runtimes import STANDARD, STRICT, TIERS, EngineFacts
from heldout.market.sandbox.stopwatch import Elapsed

__all__ = [
    "DEVNET_CHAIN_ID",
    "MIB",
    "RUNNERS",
    "STANDARD",
    "STRICT",
    "TIERS",
    "WEIGHTS_NAME",
    "AttemptLost",
    "Collected",
    "Elapsed",
    "EngineFacts",
    "Excess",
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

_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,79}")


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt at one job.

    `image` is an image id or digest (`sha256:…`), never a tag. `command` may name files under /in and /out.
    `task_dir` and `data_dir` are shown read-only. `deadline` is in Unix seconds by the node's clock at the start:
    whatever happens to node or clock, the attempt is stopped by the earlier of `deadline` and start + `limits.seconds`,
    or at the node's next start; time it was frozen does not count against `limits.seconds`. `tier` says whose kernel
    the job talks to (`runtimes.py`). `checkpoint` is an archive that `snapshot` wrote: it is laid into /out if no
    checkpoint lies there.
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
    tier: str = STANDARD
    checkpoint: Path | None = None

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
            "USER": "job",  # its uid has no name in any image, and torch asks for one
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
    """A started attempt, also once it has ended and after a restart of the node. `ref` is the backend's name for it.

    `started` and `deadline` are Unix seconds by this node's clock, as it was when it looked: for people. What ends an
    attempt is reckoned in seconds since boot (`stopwatch.py`)."""

    job: str
    attempt: str
    ref: str
    image: str
    started: float
    deadline: float


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

    async def facts(self) -> EngineFacts | None:
        """What the engine is, and which tiers it can give; None without one."""

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

    async def freeze(self, handle: Handle) -> None:
        """Let nothing of the attempt run until `thaw`; its memory stays. Idempotent, and no error if it has ended.

        Raises SandboxRefused where that cannot be done (rootless engines on cgroup v1)."""

    async def thaw(self, handle: Handle) -> None:
        """Let it run again. Idempotent, and no error if it has ended."""

    async def elapsed(self, handle: Handle) -> Elapsed:
        """How long the attempt has worked and stood still: of one that runs."""

    async def snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        """Archive /out/checkpoint as it is at one moment: the attempt stands still meanwhile, where that can be done.

        False if there is none. Raises OutputRefused for what is too large, or neither file nor folder."""

    async def stop(self, handle: Handle, grace_s: float = 2.0) -> None:
        """TERM, then KILL after `grace_s`. No error if it has ended. Raises SandboxUnhealthy if it cannot be killed."""

    async def collect(self, handle: Handle, name: str = WEIGHTS_NAME, max_bytes: int = 64 * MIB) -> Collected:
        """Copy one regular file out of the ended attempt's /out. Raises OutputRefused."""

    async def discard(self, job: str) -> None:
        """Remove every trace of a job: containers, its /out, collected copies. Idempotent."""


RUNNERS = ("docker", "podman", "process")


def open_runner(kind: str, state: Path, *, chain_id: int, accelerator: str = "") -> Runner:
    """The runner of this node; everything it writes lies under `state`. `accelerator` names a plug-in
    (`accelerators.py`).

    Raises SandboxUnavailable without the Docker SDK or the plug-in, SandboxRefused for "process" on a chain that is not
    a devnet.
    """
    if kind not in RUNNERS:
        raise SandboxRefused(f"no runner called {kind!r}", hint='use "docker" or "podman", or "process" on a devnet')
    if kind == "process":
        from heldout.market.sandbox.process import ProcessRunner

        return ProcessRunner(state, chain_id=chain_id)
    from heldout.market.sandbox.accelerators import find_accelerator
    from heldout.market.sandbox.docker import DockerRunner
    from heldout.market.sandbox.engine import address_of

    return DockerRunner(state, address=address_of(kind), accelerator=find_accelerator(accelerator))
