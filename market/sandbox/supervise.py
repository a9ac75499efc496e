"""The process runner's other half: a small parent that outlives the node, keeps the deadline and notes the end.

    python -m heldout.market.sandbox.supervise RESULT DEADLINE FILE_BYTES -- COMMAND…

TERM is passed on to the job, USR1 kills it. RESULT appears, whole, when the job has ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

GRACE_S = 2.0


def supervise(result: Path, deadline: float, file_bytes: int, command: Sequence[str]) -> None:
    """Run `command` in a session of its own until it ends or `deadline` (Unix seconds) comes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    job = subprocess.Popen(command, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: _kill(job.pid, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda *_: _kill(job.pid, signal.SIGKILL))
    late = False
    try:
        code = job.wait(max(0.0, deadline - time.time()))
    except subprocess.TimeoutExpired:
        late = True
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
        "ended": time.time(),
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_memory": used.ru_maxrss * 1024,
    }
    draft = result.with_name(f"{result.name}.part")
    draft.write_text(json.dumps(note))
    draft.rename(result)


def _kill(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[5:])
