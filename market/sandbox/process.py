"""Jobs as plain processes, for a devnet on a machine without containers. Isolates nothing, and says so.

<state>/process/<job>/<attempt>/record.json   who, what, until when, and the supervisor's pid
                                result.json   how it ended, written by `supervise`
                                log           stdout and stderr
<state>/in/<job>/task, data                   links to the inputs
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heldout.market.sandbox import (
    DEVNET_CHAIN_ID,
    MIB,
    STANDARD,
    WEIGHTS_NAME,
    Collected,
    Elapsed,
    Handle,
    Limits,
    RunReport,
    RunSpec,
)
from heldout.market.sandbox.disk import FolderDisks
from heldout.market.sandbox.errors import AttemptLost, SandboxRefused, SandboxUnhealthy
from heldout.market.sandbox.logs import LineCutter, log_hash
from heldout.market.sandbox.meter import Ending, Meter, excesses
from heldout.market.sandbox.stopwatch import Stopwatch
from heldout.market.sandbox.supervise import READY

_POLL_S = 0.1
_STOP_TIMEOUT_S = 10.0
_KILLED = (137, 143)

log = logging.getLogger(__name__)


class ProcessRunner:
    """One node's attempts as children of this machine's own user."""

    isolates = False

    def __init__(self, state: Path, *, chain_id: int, clock: Callable[[], float] = time.time) -> None:
        if chain_id != DEVNET_CHAIN_ID:
            raise SandboxRefused(
                f"the process runner isolates nothing and chain {chain_id} is not a devnet", hint="use Docker"
            )
        log.warning("process runner: isolates nothing, a job can do whatever this user can")
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state = state.resolve()
        self._disks = FolderDisks(self._state)
        self._clock = clock
        self._watch = Stopwatch(self._state)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._reasons: dict[str, str] = {}

    async def facts(self) -> None:
        """There is no engine."""

    async def check(self) -> None:
        """Processes can always be started."""

    async def has_image(self, image: str) -> bool:
        """Images count for nothing here: the job finds this interpreter and its packages."""
        return True

    async def load_image(self, archive: Path, image: str) -> None:
        """See `has_image`."""

    async def save_image(self, image: str, archive: Path) -> None:
        raise SandboxRefused("the process runner has no images", hint="use Docker")

    async def start(self, spec: RunSpec) -> Handle:
        if spec.tier != STANDARD or spec.limits.gpus:
            raise SandboxRefused(f"a process has no {spec.tier} tier and is granted no devices", hint="use Docker")
        for earlier in self._attempts(spec.job):
            if self._alive(earlier):
                raise SandboxRefused(f"attempt {earlier.attempt} is still at work", hint="stop it, or wait for its end")
        folder = self._state / "process" / spec.job / spec.attempt
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "scratch").mkdir(mode=0o700, parents=True)
        inputs = self._link_inputs(spec)
        out = Path(self._disks.open(spec, os.geteuid()))
        now = self._clock()
        latest_s = spec.deadline - now
        child = _spawn(spec, folder, inputs, out, latest_s)
        deadline = now + min(latest_s, spec.limits.seconds)
        handle = Handle(spec.job, spec.attempt, f"{child.pid}-{_birth(child.pid)}", spec.image, now, deadline)
        self._watch.start(handle.ref, age_s=0.0, latest_s=latest_s)
        record = {**asdict(handle), "limits": asdict(spec.limits)}
        (folder / "record.json").write_text(json.dumps(record))
        self._children[handle.ref] = child
        return handle

    def _link_inputs(self, spec: RunSpec) -> Path:
        inputs = self._state / "in" / spec.job
        inputs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, target in (("task", spec.task_dir), ("data", spec.data_dir)):
            (inputs / name).unlink(missing_ok=True)
            (inputs / name).symlink_to(target.resolve())
        return inputs

    async def running(self) -> list[Handle]:
        return [handle for handle in self._attempts() if self._alive(handle)]

    async def reconcile(self, jobs: Collection[str]) -> list[Handle]:
        for handle in self._attempts():
            is_late = self._watch.left(handle.ref, Limits(**self._record(handle)["limits"]).seconds) <= 0
            if is_late and self._alive(handle):
                self._reasons[handle.ref] = "deadline"
            if is_late or handle.job not in jobs:
                await self.stop(handle)
        for job in (self._disks.known() | {handle.job for handle in self._attempts()}) - set(jobs):
            await self.discard(job)
        return list(self._attempts())

    async def logs(self, handle: Handle) -> AsyncIterator[str]:
        cutter = LineCutter()
        with self._file(handle, "log").open("rb") as file:
            over = False
            while not cutter.full:
                if chunk := file.read(1 << 16):
                    for line in cutter.feed(chunk):
                        yield line
                elif over:
                    break
                else:
                    over = not self._alive(handle)  # read once more: it may have spoken since
                    await asyncio.sleep(0 if over else _POLL_S)
        for line in cutter.end():
            yield line

    async def wait(self, handle: Handle) -> RunReport:
        limits = Limits(**self._record(handle)["limits"])
        while self._alive(handle):
            if reason := self._must_stop(handle, limits):
                self._reasons[handle.ref] = reason
                await self.stop(handle, 0.0)
            await asyncio.sleep(_POLL_S)
        return self._report(handle, limits)

    def _must_stop(self, handle: Handle, limits: Limits) -> str | None:
        if self._disks.room(handle.job).bytes > limits.disk_bytes:
            return "disk"
        return "stdout" if self._file(handle, "log").stat().st_size > limits.stdout_bytes else None

    def _report(self, handle: Handle, limits: Limits) -> RunReport:
        result, room = self._result(handle), self._disks.room(handle.job)
        code = result["exit_code"]
        elapsed, allowed_s = self._watch.of(handle.ref), self._watch.allowed(handle.ref, limits.seconds)
        frozen_s = result.get("frozen", elapsed.frozen_s)
        wall_s = result.get("wall", elapsed.total_s) - frozen_s
        late = result["late"] or wall_s >= allowed_s
        reason = self._reasons.get(handle.ref) or ("signal" if code in _KILLED else None)
        with self._file(handle, "log").open("rb") as file:
            log_sha256 = log_hash(iter(lambda: file.read(1 << 16), b""))
            log_bytes = file.seek(0, os.SEEK_END)
        if code and self._reasons.get(handle.ref) is None and log_bytes > limits.stdout_bytes:
            reason = "stdout"  # the log's own limit ended it between two looks
        meter = Meter()
        meter.cpu_s, meter.peak_memory = result["cpu_s"], result["peak_memory"]
        killer = "deadline" if late else reason
        end = Ending(killer, wall_s, allowed_s, meter.cpu_s, log_bytes, room)
        return RunReport(
            exit_code=code,
            killed_by=killer,
            wall_s=wall_s,
            cpu_s=meter.cpu_s,
            peak_memory=meter.peak_memory,
            bytes_out=room.bytes,
            image=handle.image,
            log_sha256=log_sha256,
            excess=excesses(limits, meter, end),
            frozen_s=frozen_s,
        )

    def _record(self, handle: Handle) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._file(handle, "record.json").read_text())
        return record

    async def freeze(self, handle: Handle) -> None:
        while self._alive(handle) and not self._file(handle, "record.json").with_name(READY).exists():
            await asyncio.sleep(_POLL_S / 2)
        if self._alive(handle):
            self._watch.freeze(handle.ref)
            self._signal(handle, signal.SIGUSR2)

    async def thaw(self, handle: Handle) -> None:
        if self._watch.of(handle.ref).is_frozen:
            self._signal(handle, signal.SIGCONT)
            self._watch.thaw(handle.ref)

    async def elapsed(self, handle: Handle) -> Elapsed:
        return self._watch.of(handle.ref)

    async def snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        """Taken as it is: this runner is for play money."""
        return self._disks.snapshot(handle.job, target, most_bytes)

    @staticmethod
    def _signal(handle: Handle, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_pid(handle), number)

    async def stop(self, handle: Handle, grace_s: float = 2.0) -> None:
        if not self._alive(handle):
            return
        self._reasons.setdefault(handle.ref, "stopped")
        for patience, number in ((grace_s, signal.SIGTERM), (_STOP_TIMEOUT_S, signal.SIGUSR1)):
            self._signal(handle, number)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if not self._alive(handle):
                    return
                await asyncio.sleep(_POLL_S / 2)
        raise SandboxUnhealthy(f"process {handle.ref} cannot be killed", hint="look at it; bid for nothing")

    async def collect(self, handle: Handle, name: str = WEIGHTS_NAME, max_bytes: int = 64 * MIB) -> Collected:
        if self._alive(handle):
            raise SandboxRefused(f"job {handle.job} is still at work", hint="wait for its end before collecting")
        target = self._state / "collected" / handle.job / f"{handle.attempt}.{name}"
        return Collected(target, *self._disks.take(handle.job, name, target, max_bytes))

    async def discard(self, job: str) -> None:
        for handle in self._attempts(job):
            await self.stop(handle, 0.0)
            self._watch.forget(handle.ref)
        self._disks.remove(job)
        for room in ("process", "in", "collected"):
            shutil.rmtree(self._state / room / job, ignore_errors=True)

    def _attempts(self, job: str = "*") -> Iterator[Handle]:
        for path in sorted(self._state.glob(f"process/{job}/*/record.json")):
            record = json.loads(path.read_text())
            del record["limits"]
            yield Handle(**record)

    def _file(self, handle: Handle, name: str) -> Path:
        path = self._state / "process" / handle.job / handle.attempt / name
        if not path.exists():
            raise AttemptLost(f"attempt {handle.attempt} of {handle.job} has left no {name}", hint="start the next")
        return path

    def _result(self, handle: Handle) -> dict[str, Any]:
        """The supervisor's note; without one it was killed itself."""
        try:
            note: dict[str, Any] = json.loads(self._file(handle, "result.json").read_text())
        except AttemptLost:
            return {"exit_code": 137, "late": False, "cpu_s": 0.0, "peak_memory": 0}
        return note

    def _alive(self, handle: Handle) -> bool:
        if child := self._children.get(handle.ref):
            return child.poll() is None
        return f"{_pid(handle)}-{_birth(_pid(handle))}" == handle.ref


def _spawn(spec: RunSpec, folder: Path, inputs: Path, out: Path, latest_s: float) -> subprocess.Popen[bytes]:
    """The job under its supervisor, in a session of its own: it outlives this process."""
    scratch = folder / "scratch"
    places = spec.variables(inputs=str(inputs), out=str(out), scratch=str(scratch), tmp=str(scratch))
    supervisor = [sys.executable, "-m", "heldout.market.sandbox.supervise"]
    limits = [repr(spec.limits.seconds), repr(latest_s), str(spec.limits.disk_bytes)]
    command = [_here(word, inputs, out) for word in spec.command]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [*supervisor, str(folder / "result.json"), *limits, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={"PATH": f"{Path(sys.executable).parent}:{os.defpath}", **places},
            start_new_session=True,
        )


def _here(word: str, inputs: Path, out: Path) -> str:
    """A word of the command with container paths turned into this machine's, and python into this interpreter."""
    if word in ("python", "python3"):
        return sys.executable
    for root, place in (("/in", inputs), ("/out", out)):
        if word == root or word.startswith(f"{root}/"):
            return f"{place}{word.removeprefix(root)}"
    return word


def _pid(handle: Handle) -> int:
    return int(handle.ref.split("-")[0])


def _birth(pid: int) -> str:
    """Start time in clock ticks since boot: with the pid, a process's name across reuse. Empty if gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
