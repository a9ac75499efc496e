"""What `job check` runs in the sandbox that providers use: the baseline twice, and the training until it has taken a
step. Providers run the training to its end; here it only has to start, for one that fails costs them their collateral.
"""

import asyncio
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.market.errors import BadInput, HeldoutError
from heldout.market.sandbox import Handle, Limits, OutputRefused, Runner, RunReport, RunSpec, open_runner
from heldout.market.sandbox.readings import parse_reading
from heldout.market.settings import Network
from heldout.requester_cli.posting import Posting

BASELINE = "baseline.py"
RUNS = 2
TRIAL_S = 15
"""Of wall time, for a training that prints no line of metrics: the first such line ends the trial before."""
_TAIL_LINES = 20
_SEED = "1"
_STOPPED = ("stopped", "deadline")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class BaselineRun:
    weights: bytes
    seconds: float
    isolated: bool


@dataclass(frozen=True)
class Trial:
    """How far the training came. `weights`: what it wrote, if it ended by itself."""

    told: str
    seconds: float
    weights: bytes | None = None


@dataclass(frozen=True)
class _Sandbox:
    runner: Runner
    folder: Path
    """Holds `task` and `data` as a provider would show them to the job."""
    posting: Posting

    def spec(self, name: str, command: Sequence[str], seconds: int) -> RunSpec:
        needs = self.posting.manifest.resources
        return RunSpec(
            job=f"check-{self.posting.job[2:18]}-{name}",
            attempt="1",
            image=_image(self.posting),
            command=tuple(command),
            task_dir=self.folder / "task",
            data_dir=self.folder / "data",
            deadline=time.time() + seconds,
            limits=Limits(
                cpus=needs.cpus, memory_bytes=needs.memory_bytes, disk_bytes=needs.disk_bytes, seconds=seconds
            ),
            env={"HELDOUT_SEED": _SEED, "HELDOUT_THREADS": str(needs.cpus)},
            tier=needs.tier,
        )

    async def weights(self, handle: Handle) -> bytes:
        collected = await self.runner.collect(handle, max_bytes=self.posting.terms.weightsBytes)
        return collected.path.read_bytes()

    async def failure(self, what: str, handle: Handle, report: RunReport, code: str) -> BadInput:
        lines = [line async for line in self.runner.logs(handle)]
        tail = " | ".join(lines[-_TAIL_LINES:]) or "it printed nothing"
        how = f"{what} failed in the sandbox ({report.describe()})"
        return BadInput(how, hint=f"its last lines: {tail}", code=code)


async def run_all(
    task: dict[str, bytes], posting: Posting, training: Sequence[bytes], network: Network, kind: str
) -> tuple[list[BaselineRun], Trial]:
    """Raises BadInput `bad_baseline` or `bad_command` with the last lines of what failed, SandboxProblem."""
    with TemporaryDirectory(prefix="heldout-check-") as name:
        folder = Path(name) / "shown"
        _lay_out(folder, task, training)
        runner = open_runner(kind, folder / "sandbox", chain_id=network.chain_id)
        await runner.check()
        sandbox = _Sandbox(runner, folder, posting)
        runs = [await _run_baseline(sandbox, attempt) for attempt in range(RUNS)]
        return runs, await _try_training(sandbox)


def _lay_out(folder: Path, task: dict[str, bytes], training: Sequence[bytes]) -> None:
    """The folders a provider would show to the job. Readable by the sandbox's own user, hence the modes; what is above
    them is nobody else's to enter, for these rows are in the clear."""
    files = {Path("task") / path: data for path, data in task.items()}
    files |= {Path("data") / f"{index:02}.safetensors": data for index, data in enumerate(training)}
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


async def _run_baseline(sandbox: _Sandbox, attempt: int) -> BaselineRun:
    seconds = sandbox.posting.manifest.resources.seconds
    spec = sandbox.spec(str(attempt), ("python", f"/in/task/{BASELINE}"), seconds)
    began = time.monotonic()
    handle = await sandbox.runner.start(spec)
    try:
        report = await sandbox.runner.wait(handle)
        if not report.ok:
            raise await sandbox.failure(BASELINE, handle, report, "bad_baseline")
        weights = await sandbox.weights(handle)
        return BaselineRun(weights, time.monotonic() - began, sandbox.runner.isolates)
    finally:
        await sandbox.runner.discard(spec.job)


async def _try_training(sandbox: _Sandbox) -> Trial:
    manifest = sandbox.posting.manifest
    if manifest.resources.gpus:
        return Trial("not tried: it asks for a graphics card", 0.0)
    seconds = min(TRIAL_S, manifest.resources.seconds)
    spec = sandbox.spec("training", manifest.command, seconds)
    handle = await sandbox.runner.start(spec)
    try:
        report = await _until_a_step(sandbox.runner, handle)
        if report.ok:
            told = f"ended by itself after {report.wall_s:.1f} s"
            return Trial(told, report.wall_s, await _written(sandbox, handle))
        if report.killed_by not in _STOPPED:
            raise await sandbox.failure("the command", handle, report, "bad_command")
        told = "took its first step" if report.killed_by == "stopped" else "at work, no line of metrics yet,"
        return Trial(f"{told} after {report.wall_s:.1f} s, and was stopped", report.wall_s)
    finally:
        await sandbox.runner.discard(spec.job)


async def _written(sandbox: _Sandbox, handle: Handle) -> bytes:
    try:
        return await sandbox.weights(handle)
    except OutputRefused as problem:
        what = f"the command ended, and what it wrote cannot be submitted: {problem.message}"
        raise BadInput(what, hint=problem.hint, code="bad_command") from None


async def _until_a_step(runner: Runner, handle: Handle) -> RunReport:
    """Stops the attempt at its first line of metrics; `wait` ends it at its limit."""
    ended = asyncio.ensure_future(runner.wait(handle))
    stepped = asyncio.ensure_future(_first_step(runner, handle))
    await asyncio.wait((ended, stepped), return_when=asyncio.FIRST_COMPLETED)
    if stepped.done() and stepped.result() and not ended.done():
        await runner.stop(handle, 0.0)
    report = await ended
    stepped.cancel()
    with suppress(asyncio.CancelledError):
        await stepped
    return report


async def _first_step(runner: Runner, handle: Handle) -> bool:
    """Whether there was one before the log ended."""
    async for line in runner.logs(handle):
        if parse_reading(line):
            return True
    return False


def _image(posting: Posting) -> str:
    machine = platform.machine().lower()
    wanted = f"{sys.platform}/{_MACHINES.get(machine, machine)}"
    images = posting.manifest.image
    if wanted not in images:
        raise HeldoutError(
            f"the job has images for {', '.join(images)}, this machine is {wanted}", code="other_platform"
        )
    return images[wanted]
