"""Jobs as hardened containers.

The engine is the only state: what runs, since when, until when and how it ended are read from containers and their
labels, so a node that was killed picks up where it was. The SDK blocks; every call happens in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import requests.exceptions

from heldout.market.sandbox import MIB, WEIGHTS_NAME, Collected, Handle, RunReport, RunSpec
from heldout.market.sandbox.disk import copy_out, disks_for
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.errors import AttemptLost, ImageRefused, SandboxRefused, SandboxUnavailable
from heldout.market.sandbox.logs import LineCutter, log_hash
from heldout.market.sandbox.meter import Meter, killed_by, unix
from heldout.market.sandbox.profile import (
    LABEL_ATTEMPT,
    LABEL_DEADLINE,
    LABEL_DISK,
    LABEL_JOB,
    container_options,
    let_job_read,
    node_label,
)

_POLL_S = (0.1, 1.0)  # first and longest pause between two looks at a running job
_OUTAGE_S = 120.0  # how long an engine may be away before `wait` gives up

_ALIVE = ("running", "paused", "restarting")


class DockerRunner:
    """One node's attempts on the local engine. Everything this writes lies under `state`."""

    isolates = True

    def __init__(self, state: Path, *, clock: Callable[[], float] = time.time) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._node = node_label(state)
        self._engine = Engine(self._node)
        self._disks = disks_for(state)
        self._copies = state / "collected"
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._reasons: dict[str, str] = {}

    async def check(self) -> None:
        await asyncio.to_thread(self._engine.ping)

    async def has_image(self, image: str) -> bool:
        try:
            await asyncio.to_thread(self._engine.image, image)
        except ImageRefused:
            return False
        return True

    async def load_image(self, archive: Path, image: str) -> None:
        await asyncio.to_thread(self._engine.load, archive, image)

    async def save_image(self, image: str, archive: Path) -> None:
        await asyncio.to_thread(self._engine.save, image, archive)

    async def start(self, spec: RunSpec) -> Handle:
        return _handle(await asyncio.to_thread(self._start, spec))

    def _start(self, spec: RunSpec) -> Any:
        image = self._engine.image(spec.image)
        for earlier in self._engine.containers(spec.job):
            if earlier.status in _ALIVE:
                raise SandboxRefused(f"{earlier.name} is still at work", hint="stop it, or wait for its end")
            self._engine.remove(earlier)
        let_job_read(spec.task_dir)
        let_job_read(spec.data_dir)
        out = self._disks.open(spec.job, spec.limits.disk_bytes, spec.limits.disk_files)
        deadline = min(spec.deadline, self._clock() + spec.limits.seconds)
        return self._engine.run(container_options(spec, node=self._node, image=image, out=out, deadline=deadline))

    async def running(self) -> list[Handle]:
        return [_handle(found) for found in await asyncio.to_thread(self._engine.containers) if found.status in _ALIVE]

    async def reconcile(self, jobs: Collection[str]) -> list[Handle]:
        return [_handle(found) for found in await asyncio.to_thread(self._reconcile, set(jobs))]

    def _reconcile(self, jobs: set[str]) -> list[Any]:
        kept = []
        for container in self._engine.containers():
            if container.labels[LABEL_JOB] not in jobs or container.status == "created":
                self._engine.remove(container)
                continue
            if container.status in _ALIVE and self._clock() >= float(container.labels[LABEL_DEADLINE]):
                self._engine.stop(container.id, 2.0)
            kept.append(self._engine.find(container.id))
        for job in self._disks.known() - jobs:
            self._forget(job)
        return kept

    async def logs(self, handle: Handle) -> AsyncIterator[str]:
        container = await asyncio.to_thread(self._engine.find, handle.ref)
        stream = await asyncio.to_thread(self._engine.log, container, follow=True)
        loop = asyncio.get_running_loop()
        batches: asyncio.Queue[list[str]] = asyncio.Queue()  # an empty batch is the end

        def pump() -> None:
            cutter = LineCutter()
            # An engine that goes away ends the log, not the job: `wait` tells what became of that.
            # A loop that is closed (RuntimeError) has nobody left to tell.
            with contextlib.suppress(requests.exceptions.RequestException, OSError, ValueError, RuntimeError):
                for chunk in stream:
                    if lines := cutter.feed(chunk):
                        loop.call_soon_threadsafe(batches.put_nowait, lines)
                    if cutter.full:
                        break
            with contextlib.suppress(RuntimeError):
                if last := cutter.end():
                    loop.call_soon_threadsafe(batches.put_nowait, last)
                loop.call_soon_threadsafe(batches.put_nowait, [])

        # Not a pool thread: it lives as long as the job and would starve the pool.
        threading.Thread(target=pump, name=f"log {handle.attempt}", daemon=True).start()
        try:
            while lines := await batches.get():
                for line in lines:
                    yield line
        finally:
            stream.close()

    async def wait(self, handle: Handle) -> RunReport:
        pause, silent_since = _POLL_S[0], self._clock()
        while True:
            try:
                container = await asyncio.to_thread(self._look, handle)
                silent_since = self._clock()
            except SandboxUnavailable:
                if self._clock() - silent_since > _OUTAGE_S:
                    raise
            else:
                if container.status not in _ALIVE:
                    return await asyncio.to_thread(self._report, handle, container)
                if reason := self._must_stop(handle, container):
                    self._reasons[handle.ref] = reason
                    await self.stop(handle, 0.0 if reason == "disk" else 2.0)
                    continue
            left = max(0.0, handle.deadline - self._clock())
            await asyncio.sleep(min(pause, left + 0.01))
            if self._disks.exact:  # else its size has to be watched closely
                pause = min(pause * 1.5, _POLL_S[1])

    def _look(self, handle: Handle) -> Any:
        container = self._engine.find(handle.ref)
        if container.status == "created":
            raise AttemptLost(f"{container.name} was never started", hint="start the next attempt")
        if container.status == "running":
            self._meters.setdefault(handle.ref, Meter()).add(self._engine.stats(container))
        return container

    def _must_stop(self, handle: Handle, container: Any) -> str | None:
        if self._clock() >= handle.deadline:
            return "deadline"
        if not self._disks.exact and self._disks.used(handle.job) > int(container.labels[LABEL_DISK]):
            return "disk"
        return None

    def _report(self, handle: Handle, container: Any) -> RunReport:
        state = container.attrs["State"]
        meter = self._meters.get(handle.ref, Meter())
        reason = killed_by(state, handle.deadline, self._reasons.get(handle.ref))
        limit = container.attrs["HostConfig"]["Memory"]
        return RunReport(
            exit_code=state["ExitCode"],
            killed_by=reason,
            wall_s=unix(state["FinishedAt"]) - unix(state["StartedAt"]),
            cpu_s=meter.cpu_s,
            peak_memory=limit if reason == "memory" else meter.peak_memory,
            bytes_out=self._disks.used(handle.job),
            image=container.attrs["Image"],
            log_sha256=log_hash(self._engine.log(container, follow=False)),
        )

    async def stop(self, handle: Handle, grace_s: float = 2.0) -> None:
        self._reasons.setdefault(handle.ref, "stopped")
        await asyncio.to_thread(self._engine.stop, handle.ref, grace_s)

    async def collect(self, handle: Handle, name: str = WEIGHTS_NAME, max_bytes: int = 64 * MIB) -> Collected:
        return await asyncio.to_thread(self._collect, handle, name, max_bytes)

    def _collect(self, handle: Handle, name: str, max_bytes: int) -> Collected:
        if any(found.status in _ALIVE for found in self._engine.containers(handle.job)):
            raise SandboxRefused(f"job {handle.job} is still at work", hint="wait for its end before collecting")
        target = self._copies / handle.job / f"{handle.attempt}.{name}"
        sha256, size = copy_out(self._disks.seal(handle.job), name, target, max_bytes)
        return Collected(target, sha256, size)

    async def discard(self, job: str) -> None:
        await asyncio.to_thread(self._discard, job)

    def _discard(self, job: str) -> None:
        for container in self._engine.containers(job):
            self._engine.remove(container)
        self._forget(job)

    def _forget(self, job: str) -> None:
        self._disks.remove(job)
        shutil.rmtree(self._copies / job, ignore_errors=True)


def _handle(container: Any) -> Handle:
    labels = container.labels
    return Handle(
        job=labels[LABEL_JOB],
        attempt=labels[LABEL_ATTEMPT],
        ref=container.id,
        image=container.attrs["Image"],
        started=unix(container.attrs["State"]["StartedAt"]),
        deadline=float(labels[LABEL_DEADLINE]),
    )
