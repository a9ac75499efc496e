"""What an attempt used and why it ended, read from the engine's own record. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_KILLED = (137, 143)  # 128 + SIGKILL, 128 + SIGTERM


class Meter:
    """CPU seconds and the highest working set seen. Sampled, since cgroup v2 keeps no maximum that engines report."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.peak_memory = 0

    def add(self, stats: dict[str, Any]) -> None:
        """`stats` as the engine gives it; an ended container's lacks everything."""
        cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
        self.cpu_s = max(self.cpu_s, cpu / 1e9)
        memory = stats.get("memory_stats", {})
        details = memory.get("stats", {})
        cache = details.get("total_inactive_file", details.get("inactive_file", 0))
        self.peak_memory = max(self.peak_memory, memory.get("usage", 0) - cache)


def killed_by(state: dict[str, Any], deadline: float, reason: str | None) -> str | None:
    """None if the job ended by itself. `reason` is why this node stopped it, if it did."""
    if state["OOMKilled"] and state["ExitCode"] != 0:
        return "memory"
    if unix(state["FinishedAt"]) >= deadline:
        return "deadline"
    if reason:
        return reason
    return "signal" if state["ExitCode"] in _KILLED else None


def unix(moment: str) -> float:
    """Unix seconds of the engine's RFC 3339 stamps, which carry nanoseconds."""
    return datetime.fromisoformat(moment).timestamp()
