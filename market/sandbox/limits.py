"""What a job may use, and how it is told, in words and figures, which limit it met. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heldout.market.sandbox.errors import SandboxRefused

MIB = 1 << 20
_MAY_BE_ZERO = frozenset({"gpus"})


@dataclass(frozen=True, slots=True)
class Limits:
    """All hard: the kernel or the node enforces each, not the job's good will.

    `memory_bytes` covers tmpfs and shared memory too, and there is no swap. `pids` counts threads. `disk_bytes` and
    `disk_files` are the room in /out, `scratch_bytes` that in each of /tmp and /scratch. Beyond `stdout_bytes` of
    output the job is killed; of what it prints, `logs.LOG_BYTES` are kept. `seconds` is wall time of one attempt.
    `gpus` whole devices are shown to the job: their memory cannot be shared out, so no two jobs hold the same one.
    """

    cpus: float = 1.0
    memory_bytes: int = 1024 * MIB
    pids: int = 256
    disk_bytes: int = 256 * MIB
    disk_files: int = 4096
    scratch_bytes: int = 64 * MIB
    stdout_bytes: int = 16 * MIB
    seconds: float = 3600.0
    gpus: int = 0

    def __post_init__(self) -> None:
        least = {name: 0 if name in _MAY_BE_ZERO else 1e-9 for name in self.__slots__}
        wrong = [name for name, low in least.items() if getattr(self, name) < low]
        if wrong:
            raise SandboxRefused(f"limits must be positive: {', '.join(wrong)}", hint="see [resources] in job.toml")


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that an attempt ran into. `reached` is what was counted when it ended, in `unit` ("B", "files", "s",
    "tasks"); `refused` is how often the kernel said no, where it keeps count (cgroup v1)."""

    limit: str
    allowed: float
    reached: float
    unit: str
    refused: int = 0

    @property
    def over(self) -> float:
        """How far beyond the limit it got; 0 where the kernel lets nothing pass."""
        return max(0.0, self.reached - self.allowed)

    def describe(self) -> str:
        """Such as `time: 12.3 s of 10.0 s allowed, 2.3 s over`."""
        text = f"{self.limit}: {_amount(self.reached, self.unit)} of {_amount(self.allowed, self.unit)} allowed"
        if self.over:
            text += f", {_amount(self.over, self.unit)} over"
        return text + (f", refused more {self.refused:,} times" if self.refused else "")


@dataclass(frozen=True, slots=True)
class RunReport:
    """How an attempt ended, for the provenance record (the idea of isolate's meta file).

    `killed_by` is None, "deadline", "memory", "disk", "stdout", "cpu", "stopped" or "signal"; `excess` has every limit
    that was met, the one that killed first. Times in seconds, sizes in bytes; `bytes_out` counts what lies in /out.
    `cpu_s`, `peak_memory` and `peak_pids` are sampled: the last second may be missing. `log_sha256` covers the cleaned
    lines that are kept, each ended by a newline. `devices` names the accelerators that were granted. `wall_s` leaves
    out the `frozen_s` that the attempt stood still.
    """

    exit_code: int
    killed_by: str | None
    wall_s: float
    cpu_s: float
    peak_memory: int
    bytes_out: int
    image: str
    log_sha256: bytes
    excess: tuple[Excess, ...] = ()
    peak_pids: int = 0
    tier: str = "standard"
    devices: tuple[str, ...] = ()
    frozen_s: float = 0.0

    @property
    def ok(self) -> bool:
        """The job ended by itself and says that it succeeded."""
        return self.exit_code == 0 and self.killed_by is None

    def describe(self) -> str:
        """One sentence: `exit code 137, killed by memory; memory: 256.0 MiB of 256.0 MiB allowed`."""
        ending = f"exit code {self.exit_code}" + (f", killed by {self.killed_by}" if self.killed_by else "")
        return "; ".join([ending, *(each.describe() for each in self.excess)])


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / MIB:,.1f} MiB" if value >= MIB else f"{value:,.0f} B"
    return f"{value:,.1f} s" if unit == "s" else f"{value:,.0f} {unit}"
