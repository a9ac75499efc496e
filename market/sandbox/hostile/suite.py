"""Runs the hostile programs in a runner, one job after the other, and judges what became of each."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from heldout.market.errors import BadWeights, HeldoutError
from heldout.market.sandbox import MIB, STANDARD, Handle, Limits, Runner, RunReport, RunSpec
from heldout.market.sandbox.errors import OutputRefused
from heldout.market.sandbox.hostile import PROGRAMS, Attack, Case, Manifest, Outcome, load_manifest
from heldout.market.sandbox.logs import LINE_BYTES
from heldout.market.weights import TensorSpec, check

JOB = "hostile"
LIMITS = Limits(
    memory_bytes=256 * MIB, pids=64, disk_bytes=16 * MIB, disk_files=512, scratch_bytes=16 * MIB, seconds=45
)
_TAKEN_AT_MOST = 8 * MIB
_SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Target:
    """What the network programs call: a listener of the suite's own, and nothing else."""

    address: str
    name: str
    abstract: str = ""
    heard: Callable[[], bool] = lambda: False


@contextmanager
def loopback_target() -> Iterator[Target]:
    """Listeners on loopback and under an abstract name: who shares the host's network reaches them."""
    abstract = f"heldout-doctor-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"\0{abstract}")
        local.listen()
        server.setblocking(False)

        def heard() -> bool:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield Target(f"127.0.0.1:{server.getsockname()[1]}", "heldout.invalid", abstract, heard)


@dataclass(frozen=True, slots=True)
class Suite:
    """`derive` makes an image from another by Dockerfile instructions and gives its id; without it the attacks that
    need one are left out, and their layer is not shown to hold."""

    runner: Runner
    image: str
    folder: Path
    target: Target
    tier: str = STANDARD
    manifest: Manifest = field(default_factory=load_manifest)
    derive: Callable[[str, Sequence[str]], str] | None = None

    async def run(self) -> AsyncIterator[Outcome]:
        """Every case, in the manifest's order. Raises SandboxProblem if a program cannot even be started."""
        for attack in self.manifest.attacks:
            if attack.image and self.derive is None:
                continue
            for outcome in await self._attack(attack):
                yield outcome

    async def _attack(self, attack: Attack) -> list[Outcome]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            spec = self._spec(attack, Path(name))
            try:
                handle = await self.runner.start(spec)
                report = await self.runner.wait(handle)
                lines = [line async for line in self.runner.logs(handle)]
                evidence = _Evidence(self, handle, report, lines, _answers(lines), spec.limits.cpus)
                return [Outcome(case, await evidence.judge(case), self.tier) for case in attack.cases]
            finally:
                await self.runner.discard(spec.job)

    def _spec(self, attack: Attack, folder: Path) -> RunSpec:
        task, data = folder / "task", folder / "data"
        shutil.copytree(PROGRAMS, task, ignore=shutil.ignore_patterns("__pycache__"))
        data.mkdir()
        limits = replace(LIMITS, **attack.limits)  # type: ignore[arg-type]
        image = self.derive(self.image, attack.image) if attack.image and self.derive else self.image
        return RunSpec(
            job=f"{JOB}-{attack.program.replace('_', '-')}",
            attempt="1",
            image=image,
            command=("python3", f"/in/task/{attack.program}.py"),
            task_dir=task,
            data_dir=data,
            deadline=time.time() + 2 * limits.seconds,
            limits=limits,
            env=self._told(limits),
            tier=self.tier,
        )

    def _told(self, limits: Limits) -> Mapping[str, str]:
        """What a program must know of the host to tell whether it sees it."""
        return {
            "HOSTILE_LIMITS": json.dumps(asdict(limits)),
            "HOSTILE_TARGET": self.target.address,
            "HOSTILE_NAME": self.target.name,
            "HOSTILE_ABSTRACT": self.target.abstract,
            "HOSTILE_KERNEL": os.uname().release,
            "HOSTILE_MEMORY_KB": Path("/proc/meminfo").read_text().split()[1],
            "HOSTILE_PID_NAMESPACE": os.readlink("/proc/self/ns/pid"),
            "HOSTILE_STATE": self.folder.parent.name,
            "HOSTILE_CORES": str(max(1, round(limits.cpus))),
        }


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What one attack left behind, for the judges that the manifest names."""

    suite: Suite
    handle: Handle
    report: RunReport
    lines: Sequence[str]
    answers: Mapping[str, str]
    cpus: float

    async def judge(self, case: Case) -> str:
        match case.judge:
            case "said":
                return self.answers.get(case.id, "died" if self.report.exit_code else _SILENCE)
            case "ended":
                return self.report.killed_by or "by itself"
            case "cpu":
                return "held" if self._cores() < 1.3 * self.cpus else f"{self._cores():.1f} cores"
            case "log":
                return _log(self.lines)
            case "listener":
                return "heard" if self.suite.target.heard() else _SILENCE
            case "frozen":
                return "same" if await self._taken() == await self._taken() else "changed"
        return await self._found(case)

    def _cores(self) -> float:
        return self.report.cpu_s / self.report.wall_s

    async def _found(self, case: Case) -> str:
        """How the collector, and then the reader of weights, took the file `case.file`."""
        try:
            taken = await self.suite.runner.collect(self.handle, case.file, _TAKEN_AT_MOST)
        except OutputRefused as problem:
            return problem.code
        if case.judge == "collected":
            return f"taken: {taken.size} bytes"
        try:
            check(taken.path.read_bytes(), {"w": TensorSpec((1,))}, _TAKEN_AT_MOST)
        except BadWeights:
            return "bad_weights"
        return "believed"

    async def _taken(self) -> bytes:
        try:
            return (await self.suite.runner.collect(self.handle)).sha256
        except HeldoutError as problem:
            return problem.code.encode()


def _answers(lines: Sequence[str]) -> dict[str, str]:
    """What a program said of each case. Its lines are among whatever else it printed."""
    found = {}
    for line in lines:
        if line.startswith('{"case": '):
            said = json.loads(line)
            found[str(said["case"])] = str(said["answer"])
    return found


def _log(lines: Sequence[str]) -> str:
    if any(len(line) > LINE_BYTES for line in lines):
        return "a line is too long"
    control = {character for line in lines for character in line if unicodedata.category(character)[0] == "C"}
    return "clean" if lines and not control else f"control characters: {sorted(control)!r}"
