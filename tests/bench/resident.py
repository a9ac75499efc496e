"""What an idle node holds in memory."""

import re
from pathlib import Path

from tests.bench.figure import report

IDLE_S = 20


def resident_mb(pid: int) -> float:
    """VmRSS of a process, in megabytes of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def report_resident(figure: str, name: str, pid: int) -> None:
    """The node `name` has had no job for IDLE_S seconds."""
    report(f"node.rss.{figure}", resident_mb(pid), "MB", f"VmRSS of {name} after {IDLE_S} s without a job")
