"""The process runner's other half: a small parent that outlives the node, keeps the deadline and notes the end.

    python -m heldout.market.sandbox.supervise RESULT SECONDS LATEST FILE_BYTES -- COMMAND…

TERM is passed on to the job, USR1 kills it, USR2 makes it stand still and CONT lets it go on: the time between does not
count among its SECONDS, but LATEST, in seconds from now too, does not wait. RESULT appears, whole, when the job has
ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from heldout.market.sandbox.stopwatch import since_boot

GRACE_S = 2.0


TICK_S = 0.2
READY = "ready"
"""A file beside RESULT: signals are understood from now on."""


class Freezer:
    """Stops and continues a process group, and knows how long it stood still, in seconds."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._total = 0.0
        self._since: float | None = None

    def freeze(self) -> None:
        if self._since is None:
            self._since = since_boot()
            _kill(self._group, signal.SIGSTOP)

    def thaw(self) -> None:
        self._total, self._since = self.total, None
        _kill(self._group, signal.SIGCONT)

    @property
    def total(self) -> float:
        return self._total + (since_boot() - self._since if self._since is not None else 0.0)


def supervise(result: Path, seconds: float, latest: float, file_bytes: int, command: Sequence[str]) -> None:
    """Run `command` in a session of its own until it ends or its time, in seconds, is over."""
    began = since_boot()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    job = subprocess.Popen(command, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: _kill(job.pid, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda *_: _kill(job.pid, signal.SIGKILL))
    freezer = Freezer(job.pid)
    signal.signal(signal.SIGUSR2, lambda *_: freezer.freeze())
    signal.signal(signal.SIGCONT, lambda *_: freezer.thaw())
    result.with_name(READY).touch()
    while (code := _ended(job)) is None and since_boot() - began < min(seconds + freezer.total, latest):
        pass
    if late := code is None:
        freezer.thaw()
        _kill(job.pid, signal.SIGTERM)
        try:
            code = job.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _kill(job.pid, signal.SIGKILL)
            code = job.wait()
    _kill(job.pid, signal.SIGKILL)  # what it left behind
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    note = {
        "exit_code": code if code >= 0 else 128 - code,
        "late": late,
        "frozen": freezer.total,
        "wall": since_boot() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_memory": used.ru_maxrss * 1024,
    }
    draft = result.with_name(f"{result.name}.part")
    draft.write_text(json.dumps(note))
    draft.rename(result)


def _ended(job: subprocess.Popen[bytes]) -> int | None:
    """Waits for a moment, or until a signal has been handled."""
    try:
        return job.wait(TICK_S)
    except subprocess.TimeoutExpired:
        return None


def _kill(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[6:])
