"""`doctor` attacks its own sandbox: a small hostile job tries what no job may, and says what it reached (threat 59)."""

import asyncio
import json
import tempfile
import time
from pathlib import Path

from heldout.market.errors import SandboxProblem
from heldout.market.sandbox import Limits, Runner, RunSpec

JOB = "doctor"
SECONDS = 60.0
_MIB = 1 << 20

SCRIPT = """\
import ctypes, json, os, socket

def blocked(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False

def trace():
    if ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0) < 0:
        raise OSError("refused")

print(json.dumps({
    "network": blocked(lambda: socket.create_connection(("169.254.169.254", 80), 2)),
    "write to /": blocked(lambda: open("/heldout-probe", "w")),
    "write to its input": blocked(lambda: open(os.environ["HELDOUT_IN"] + "/task/heldout-probe", "w")),
    "engine socket": not os.path.exists("/var/run/docker.sock"),
    "ptrace": blocked(trace),
    "kernel memory": blocked(lambda: open("/proc/kcore", "rb").read(1)),
    "become root": blocked(lambda: os.setuid(0)) and os.getuid() != 0,
}))
"""


def probe_sandbox(runner: Runner, image: str, folder: Path) -> dict[str, bool]:
    """What was tried, and whether it was blocked. Raises SandboxProblem if the probe itself cannot run."""
    return asyncio.run(_probe(runner, image, folder))


async def _probe(runner: Runner, image: str, folder: Path) -> dict[str, bool]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        task, data = Path(name) / "task", Path(name) / "data"
        task.mkdir()
        data.mkdir()
        (task / "probe.py").write_text(SCRIPT)
        limits = Limits(memory_bytes=256 * _MIB, disk_bytes=16 * _MIB, scratch_bytes=16 * _MIB, seconds=SECONDS)
        command = ("python3", "/in/task/probe.py")
        spec = RunSpec(JOB, "1", image, command, task, data, time.time() + SECONDS, limits)
        try:
            handle = await runner.start(spec)
            report = await runner.wait(handle)
            lines = [line async for line in runner.logs(handle)]
        finally:
            await runner.discard(JOB)
    return _read(lines, report.exit_code)


def _read(lines: list[str], exit_code: int) -> dict[str, bool]:
    for line in lines:
        if line.startswith("{"):
            return {str(name): blocked is True for name, blocked in json.loads(line).items()}
    raise SandboxProblem(f"the probe ended with exit code {exit_code} and said nothing: {' '.join(lines[-3:])}")
