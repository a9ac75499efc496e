"""What an attempt used, which limits it met and why it ended, read from the engine's own record. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heldout.market.sandbox.limits import Excess, Limits
from heldout.market.sandbox.stopwatch import Elapsed

_BY_EXIT_CODE = {137: "signal", 143: "signal", 152: "cpu", 153: "disk"}  # 128 + SIGKILL, SIGTERM, SIGXCPU, SIGXFSZ
_FULL = 31 / 32  # file systems keep a little back: a write is refused before the last block is taken
_KILLERS = {"memory": "memory", "deadline": "time", "stdout": "stdout", "disk": "output bytes", "cpu": "cpu time"}


@dataclass(frozen=True, slots=True)
class Room:
    """What lies in a job's /out, and whether it is full."""

    bytes: int
    files: int = 0
    no_bytes_left: bool = False
    no_files_left: bool = False


class Meter:
    """CPU seconds and the highest working set and number of tasks seen. Sampled, since cgroup v2 keeps no maximum that
    engines report."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.peak_memory = 0
        self.peak_pids = 0
        self.most_pids = 0
        self.memory_refused = 0
        self.worked_s = 0.0

    def add(self, stats: dict[str, Any]) -> None:
        """`stats` as the engine gives it; an ended container's lacks everything."""
        cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
        self.cpu_s = max(self.cpu_s, cpu / 1e9)
        memory = stats.get("memory_stats", {})
        details = memory.get("stats", {})
        cache = details.get("total_inactive_file", details.get("inactive_file", 0))
        self.peak_memory = max(self.peak_memory, memory.get("usage", 0) - cache)
        self.memory_refused = max(self.memory_refused, memory.get("failcnt", 0))
        tasks = stats.get("pids_stats", {})
        self.peak_pids = max(self.peak_pids, tasks.get("current", 0))
        self.most_pids = tasks.get("limit", 0) or self.most_pids

    def wall_s(self, stamped_s: float, elapsed: Elapsed) -> float:
        """Seconds that an attempt worked which is over: as the engine's stamps say, but no less than it was seen to
        work (`worked_s`) and no more than there were, for the clock on the wall may have been set in between."""
        return min(max(stamped_s - elapsed.frozen_s, self.worked_s), elapsed.worked_s)


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt's figures at its end, to be held against its limits."""

    killed_by: str | None
    wall_s: float
    allowed_s: float
    cpu_s: float
    log_bytes: int
    room: Room


def excesses(limits: Limits, meter: Meter, end: Ending) -> tuple[Excess, ...]:
    """Every limit that was met, the one that killed first."""
    killer = _KILLERS.get(end.killed_by or "")
    return tuple(sorted(_met(limits, meter, end), key=lambda each: each.limit != killer))


def _met(limits: Limits, meter: Meter, end: Ending) -> Iterator[Excess]:
    if end.killed_by == "memory":
        reached = max(meter.peak_memory, limits.memory_bytes)
        yield Excess("memory", limits.memory_bytes, reached, "B", meter.memory_refused)
    if end.killed_by == "deadline":
        yield Excess("time", end.allowed_s, end.wall_s, "s")
    if end.killed_by == "cpu":
        yield Excess("cpu time", cpu_seconds(limits), end.cpu_s, "s")
    if end.killed_by == "stdout" or end.log_bytes > limits.stdout_bytes:
        seen = max(end.log_bytes, limits.stdout_bytes + 1)  # an engine may have kept less than was seen before
        yield Excess("stdout", limits.stdout_bytes, seen, "B")
    if end.killed_by == "disk" or end.room.no_bytes_left or end.room.bytes >= limits.disk_bytes * _FULL:
        yield Excess("output bytes", limits.disk_bytes, end.room.bytes, "B")
    if end.room.no_files_left:
        yield Excess("output files", limits.disk_files, end.room.files, "files")
    most = max(limits.pids, meter.most_pids)  # in gVisor the engine allows more: its kernel's own threads count too
    if meter.peak_pids >= most:
        yield Excess("processes and threads", most, meter.peak_pids, "tasks")


def cpu_seconds(limits: Limits) -> int:
    """CPU time after which the kernel ends a process, though no node is alive to look at the deadline."""
    return int(-(-limits.seconds * max(limits.cpus, 1.0) // 1)) + 1


def killed_by(state: dict[str, Any], reason: str | None, *, late: bool) -> str | None:
    """None if the job ended by itself. `reason` is why this node stopped it, if it did; `late`, whether its time was
    over when it ended."""
    if state["OOMKilled"] and state["ExitCode"] != 0:
        return "memory"
    if reason and reason != "stopped":
        return reason
    if late:
        return "deadline"
    return reason or _BY_EXIT_CODE.get(state["ExitCode"])


def unix(moment: str) -> float:
    """Unix seconds of the engine's RFC 3339 stamps, which carry nanoseconds."""
    return datetime.fromisoformat(moment).timestamp()
