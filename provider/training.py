"""Attempts in the sandbox, as a synchronous node sees them: one event loop in one thread, polled once a cycle."""

import asyncio
import threading
from collections import deque
from collections.abc import Collection, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from heldout.market.errors import SandboxProblem
from heldout.market.sandbox import (
    AttemptLost,
    Collected,
    EngineFacts,
    Handle,
    Runner,
    RunReport,
    RunSpec,
    SandboxUnavailable,
)

T = TypeVar("T")
CALL_TIMEOUT_S = 300.0
LINES_KEPT = 1000
LOG_GRACE_S = 2.0
"""How long the last lines of an attempt that has ended are waited for."""


@dataclass
class _Attempt:
    handle: Handle
    report: "Future[RunReport]"
    reader: "Future[None]"
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))


class Training:
    """All methods raise SandboxProblem."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._attempts: dict[str, _Attempt] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops looking. Attempts go on and are adopted at the next start."""
        for attempt in self._attempts.values():
            attempt.report.cancel()
            attempt.reader.cancel()
        self._call(asyncio.sleep(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def check(self) -> None:
        self._call(self._runner.check())

    def facts(self) -> EngineFacts | None:
        return self._call(self._runner.facts())

    def has_image(self, image: str) -> bool:
        return self._call(self._runner.has_image(image))

    def adopt(self, failed: Mapping[str, int]) -> None:
        """At a node's start: keep the newest attempt of each job named, unless it is known to have failed; remove what
        belongs to no job. `failed` has the number of the last failed attempt of every job that may be in training."""
        handles = self._call(self._runner.reconcile(list(failed)))
        for handle in sorted(handles, key=lambda each: int(each.attempt)):
            if int(handle.attempt) > failed[handle.job]:
                self._follow(handle)

    def sweep(self, jobs: Collection[str]) -> None:
        """Remove attempts and disks of all jobs but these: now and then, so that nothing is left behind (P11 d)."""
        self._call(self._runner.reconcile(list(jobs)))

    def start(self, spec: RunSpec) -> None:
        """Returns once the attempt runs."""
        self._follow(self._call(self._runner.start(spec)))

    def has(self, job: str) -> bool:
        """Whether an attempt runs, or has ended and was not dropped."""
        return job in self._attempts

    def ended(self, job: str) -> RunReport | None:
        """How the attempt ended; None while it runs, or while the engine is away. Raises AttemptLost if it is gone."""
        attempt = self._attempts[job]
        if not attempt.report.done():
            return None
        with suppress(SandboxProblem, TimeoutError):
            attempt.reader.result(LOG_GRACE_S)
        try:
            return attempt.report.result()
        except SandboxUnavailable:
            attempt.report = self._wait(attempt.handle)
            return None

    def new_lines(self, job: str) -> list[str]:
        """What the job has printed since the last call."""
        lines = self._attempts[job].lines
        return [lines.popleft() for _ in range(len(lines))]

    def collect(self, job: str, most_bytes: int) -> Collected:
        """The weights of an attempt that has ended."""
        return self._call(self._runner.collect(self._attempts[job].handle, max_bytes=most_bytes))

    def still(self, job: str, stand: bool) -> bool:
        """Freeze a running attempt, or let it go on; whether it stands still now. Idempotent."""
        attempt = self._attempts[job]
        if attempt.report.done():
            return False
        if self._call(self._runner.elapsed(attempt.handle)).is_frozen is not stand:
            self._call(self._runner.freeze(attempt.handle) if stand else self._runner.thaw(attempt.handle))
        return stand

    def worked(self, job: str) -> float:
        """Seconds that the attempt has run, those left out in which it was frozen."""
        return self._call(self._runner.elapsed(self._attempts[job].handle)).worked_s

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        """See `Runner.snapshot`. For any thread."""
        attempt = self._attempts.get(job)
        if attempt is None:
            raise AttemptLost(f"job {job} has no attempt any more")
        return self._call(self._runner.snapshot(attempt.handle, target, most_bytes))

    def drop(self, job: str) -> None:
        """An attempt that has ended badly makes room for the next; what it wrote to /out stays."""
        self._attempts.pop(job, None)

    def discard(self, job: str) -> None:
        """Stop and remove everything of a job."""
        attempt = self._attempts.pop(job, None)
        if attempt:
            attempt.report.cancel()
            attempt.reader.cancel()
        self._call(self._runner.discard(job))

    def _follow(self, handle: Handle) -> None:
        lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._attempts[handle.job] = _Attempt(
            handle,
            self._wait(handle),
            asyncio.run_coroutine_threadsafe(self._read(handle, lines), self._loop),
            lines,
        )

    def _wait(self, handle: Handle) -> "Future[RunReport]":
        return asyncio.run_coroutine_threadsafe(self._runner.wait(handle), self._loop)

    async def _read(self, handle: Handle, lines: deque[str]) -> None:
        async for line in self._runner.logs(handle):
            lines.append(line)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(CALL_TIMEOUT_S)
        except TimeoutError:
            future.cancel()
            raise SandboxProblem(f"the sandbox did not answer in {CALL_TIMEOUT_S:g} s") from None
