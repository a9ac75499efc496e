"""Small jobs for the sandbox's tests: a program text becomes a task folder and a `RunSpec`."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heldout.market.sandbox import STANDARD, Limits, Runner, RunReport, RunSpec

MIB = 1 << 20
SMALL = Limits(memory_bytes=256 * MIB, pids=64, disk_bytes=16 * MIB, disk_files=512, scratch_bytes=16 * MIB, seconds=60)


def _not_reopened() -> Runner:
    raise AssertionError("this bench was made without a way to open its runner again")


@dataclass
class Bench:
    """A runner, an image and a folder to write jobs in."""

    runner: Runner
    image: str
    folder: Path
    jobs: set[str] = field(default_factory=set)
    tier: str = STANDARD
    reopen: Callable[[], Runner] = field(default=_not_reopened)

    def spec(
        self,
        program: str,
        *,
        job: str = "job-1",
        attempt: str = "1",
        limits: Limits = SMALL,
        env: dict[str, str] | None = None,
        deadline: float | None = None,
        tier: str = "",
    ) -> RunSpec:
        task, data = self.folder / job / "task", self.folder / job / "data"
        for place in (task, data):
            place.mkdir(parents=True, exist_ok=True)
        (task / "main.py").write_text(textwrap.dedent(program))
        (data / "shard-00.safetensors").write_bytes(b"not read here")
        self.jobs.add(job)
        return RunSpec(
            job=job,
            attempt=attempt,
            image=self.image,
            command=["python3", "/in/task/main.py"],
            task_dir=task,
            data_dir=data,
            deadline=deadline or time.time() + 120,
            limits=limits,
            env={"HELDOUT_SEED": "7", **(env or {})},
            tier=tier or self.tier,
        )

    async def run(self, spec: RunSpec) -> tuple[RunReport, list[str]]:
        """One attempt from start to end: its report and its log."""
        handle = await self.runner.start(spec)
        report = await self.runner.wait(handle)
        return report, [line async for line in self.runner.logs(handle)]

    async def clear(self) -> None:
        for job in self.jobs:
            await self.runner.discard(job)
