"""Jobs as hardened containers, on Docker or Podman, as root or rootless.

The engine is the only state: what runs, since when, until when and how it ended are read from containers and their
labels, so a node that was killed picks up where it was. The SDK blocks; every call happens in a thread.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from heldout.market.errors import SandboxProblem
from heldout.market.sandbox import MIB, WEIGHTS_NAME, Collected, Handle, RunReport, RunSpec
from heldout.market.sandbox.accelerators import Accelerator, Grant, NoAccelerator
from heldout.market.sandbox.disk import Disks, LoopDisks, may_mount
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.errors import AttemptLost, ImageRefused, SandboxRefused, SandboxUnavailable
from heldout.market.sandbox.frozen import Frozen, FrozenTime
from heldout.market.sandbox.meter import Ending, Meter, excesses, killed_by, unix
from heldout.market.sandbox.places import Place, free_uid, pick_cores, pick_devices
from heldout.market.sandbox.profile import (
    LABEL_ATTEMPT,
    LABEL_DEADLINE,
    LABEL_JOB,
    LABEL_LATEST,
    LABEL_TIER,
    Setting,
    container_options,
    let_job_read,
    limits_of,
    node_label,
    place_of,
)
from heldout.market.sandbox.pump import LogPump
from heldout.market.sandbox.runtimes import EngineFacts
from heldout.market.sandbox.volumes import VolumeDisks

_POLL_S = (0.1, 1.0)  # first and longest pause between two looks at a running job
_OUTAGE_S = 120.0  # how long an engine may be away before `wait` gives up
_LOG_END_S = 10.0  # how long the last lines of an attempt that has ended are waited for

_ALIVE = ("running", "paused", "restarting")

Profile = Callable[[RunSpec, Setting], dict[str, Any]]


class DockerRunner:
    """One node's attempts on the local engine. Everything this writes lies under `state`.

    `address` is that of an engine other than Docker's usual one. `disks` and `profile` are for tests: another place
    for /out, and a container that is not hardened, for contrast.
    """

    isolates = True

    def __init__(
        self,
        state: Path,
        *,
        address: str = "",
        accelerator: Accelerator | None = None,
        disks: Callable[[Engine], Disks] | None = None,
        profile: Profile = container_options,
        clock: Callable[[], float] = time.time,
    ) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = Engine(node_label(state), address)
        self._disks = disks(self._engine) if disks else LoopDisks(state) if may_mount() else VolumeDisks(self._engine)
        self._accelerator = accelerator or NoAccelerator()
        self._profile = profile
        self._copies = state / "collected"
        self._clock = clock
        self._starting = threading.Lock()
        self._freezing = threading.Lock()
        self._frozen = FrozenTime(state, clock)
        self._meters: dict[str, Meter] = {}
        self._pumps: dict[str, LogPump] = {}
        self._reasons: dict[str, str] = {}

    async def facts(self) -> EngineFacts:
        return await asyncio.to_thread(lambda: self._engine.facts)

    @contextmanager
    def derived_images(self) -> Iterator[Callable[[str, Sequence[str]], str]]:
        """A maker of images from other images, for attacks by image; what it made is removed at the end."""
        made: list[str] = []

        def derive(image: str, changes: Sequence[str]) -> str:
            made.append(self._engine.derive(image, changes))
            return made[-1]

        try:
            yield derive
        finally:
            for image in made:
                self._engine.remove_image(image)

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
        return self._handle(await asyncio.to_thread(self._start, spec))

    def _start(self, spec: RunSpec) -> Any:
        runtime = self._runtime(spec.tier)
        image = self._engine.image(spec.image)
        for earlier in self._engine.containers(spec.job):
            if earlier.status in _ALIVE:
                raise SandboxRefused(f"{earlier.name} is still at work", hint="stop it, or wait for its end")
            self._remove(earlier)
        let_job_read(spec.task_dir)
        let_job_read(spec.data_dir)
        deadline = min(spec.deadline, self._clock() + spec.limits.seconds)
        with self._starting:  # two attempts must not choose the same place
            place = self._place(spec)
            out = self._disks.open(spec, place.uid)
            grant = self._accelerator.grant(place.devices) if place.devices else Grant()
            dialect = self._engine.dialect
            setting = Setting(self._engine.node, image, out, deadline, place, runtime, grant, dialect)
            return self._engine.run(self._profile(spec, setting))

    def _runtime(self, tier: str) -> str:
        facts = self._engine.facts
        if tier not in facts.runtimes:
            why = facts.missing.get(tier, "there is no such tier")
            raise SandboxRefused(f"this engine cannot run {tier} jobs: {why}", hint="see `heldout provider doctor`")
        return facts.runtimes[tier]

    def _place(self, spec: RunSpec) -> Place:
        """A uid, cores and devices that no running job has, of this or of another node on the engine."""
        taken = [place_of(found.labels) for found in self._engine.neighbours()]
        if spec.limits.gpus and spec.tier not in self._accelerator.tiers:
            raise SandboxRefused(f"no device can be given to a {spec.tier} job here", hint="see [offer] accelerator")
        have = [device.id for device in self._accelerator.devices()] if spec.limits.gpus else []
        return Place(
            uid=free_uid(spec.job, {place.uid for place in taken}),
            cores=pick_cores(self._cores(), (core for place in taken for core in place.cores), spec.limits.cpus),
            devices=pick_devices(have, {device for place in taken for device in place.devices}, spec.limits.gpus),
        )

    def _cores(self) -> list[int]:
        """Those this node may use itself: the engine is on the same machine."""
        return (
            sorted(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else list(range(self._engine.facts.cores))
        )

    async def running(self) -> list[Handle]:
        found = await asyncio.to_thread(self._engine.containers)
        return [self._handle(each) for each in found if each.status in _ALIVE]

    async def reconcile(self, jobs: Collection[str]) -> list[Handle]:
        return [self._handle(found) for found in await asyncio.to_thread(self._reconcile, set(jobs))]

    def _reconcile(self, jobs: set[str]) -> list[Any]:
        kept = []
        for container in self._engine.containers():
            if container.labels[LABEL_JOB] not in jobs or container.status == "created":
                self._remove(container)
                continue
            if container.status in _ALIVE and self._clock() >= self._deadline(container):
                self._engine.stop(container.id, 2.0)
            kept.append(self._engine.find(container.id))
        for job in self._disks.known() - jobs:
            self._forget(job)
        return kept

    async def logs(self, handle: Handle) -> AsyncIterator[str]:
        pump = await asyncio.to_thread(self._pump, handle)
        async for line in pump.lines():
            yield line

    def _pump(self, handle: Handle) -> LogPump:
        """The one reader of this attempt's log. After an outage of the engine it begins anew."""
        pump = self._pumps.get(handle.ref)
        container = self._engine.find(handle.ref)
        if pump is None or (pump.over and container.status in _ALIVE):
            pump = LogPump(handle.attempt, partial(self._engine.log, container))
            self._pumps[handle.ref] = pump
        return pump

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
                    await self.stop(handle, 2.0 if reason == "deadline" else 0.0)
                    continue
                handle = self._handle(container)  # its deadline moves while it is frozen
            left = max(0.0, handle.deadline - self._clock())
            await asyncio.sleep(min(pause, left + 0.01))
            pause = min(pause * 1.5, _POLL_S[1])

    def _look(self, handle: Handle) -> Any:
        container = self._engine.find(handle.ref)
        if container.status == "created":
            raise AttemptLost(f"{container.name} was never started", hint="start the next attempt")
        self._pump(handle)
        if container.status == "running":
            self._meters.setdefault(handle.ref, Meter()).add(self._engine.stats(container))
        return container

    def _must_stop(self, handle: Handle, container: Any) -> str | None:
        if self._clock() >= self._deadline(container):
            return "deadline"
        if self._pumps[handle.ref].bytes_seen > limits_of(container.labels).stdout_bytes:
            return "stdout"
        return None

    def _report(self, handle: Handle, container: Any) -> RunReport:
        state, labels = container.attrs["State"], container.labels
        if self._engine.dialect.follows_to_the_end:
            pump = self._pumps[handle.ref]
        else:
            pump = self._pumps[handle.ref] = LogPump(handle.attempt, partial(self._engine.log, container, follow=False))
        log_sha256 = pump.hash(_LOG_END_S)
        started, room = unix(state["StartedAt"]), self._disks.room(handle.job)
        meter = self._meters.get(handle.ref, Meter())
        self._frozen.end(handle.ref)  # it was ended, or removed from the freezer by the engine's own end
        frozen_s, deadline = self._frozen.of(handle.ref).total_s, self._deadline(container)
        limits, reason = limits_of(labels), killed_by(state, deadline, self._reasons.get(handle.ref))
        wall_s = max(0.0, unix(state["FinishedAt"]) - started - frozen_s)
        end = Ending(reason, wall_s, deadline - started - frozen_s, meter.cpu_s, pump.bytes_seen, room)
        return RunReport(
            exit_code=state["ExitCode"],
            killed_by=reason,
            wall_s=wall_s,
            cpu_s=meter.cpu_s,
            peak_memory=limits.memory_bytes if reason == "memory" else meter.peak_memory,
            bytes_out=room.bytes,
            image=container.attrs["Image"],
            log_sha256=log_sha256,
            excess=excesses(limits, meter, end),
            peak_pids=meter.peak_pids,
            tier=labels[LABEL_TIER],
            devices=place_of(labels).devices,
            frozen_s=frozen_s,
        )

    def _deadline(self, container: Any) -> float:
        """The attempt's own limit, from its true start and moved by the time it was frozen; never past the job's."""
        labels, started = container.labels, unix(container.attrs["State"]["StartedAt"])
        own = started + limits_of(labels).seconds if started > 0 else float(labels[LABEL_DEADLINE])
        return min(own + self._frozen.of(container.id).total_s, float(labels[LABEL_LATEST]))

    def _handle(self, container: Any) -> Handle:
        labels = container.labels
        return Handle(
            job=labels[LABEL_JOB],
            attempt=labels[LABEL_ATTEMPT],
            ref=container.id,
            image=container.attrs["Image"],
            started=unix(container.attrs["State"]["StartedAt"]),
            deadline=self._deadline(container),
        )

    async def freeze(self, handle: Handle) -> None:
        await asyncio.to_thread(self._freeze, handle)

    def _freeze(self, handle: Handle) -> None:
        with self._freezing:
            container = self._engine.find(handle.ref)
            if container.status == "running":
                self._frozen.begin(handle.ref)
                try:
                    self._engine.pause(container)
                except SandboxProblem:
                    self._frozen.end(handle.ref, stood_still=False)
                    raise

    async def thaw(self, handle: Handle) -> None:
        await asyncio.to_thread(self._thaw, handle)

    def _thaw(self, handle: Handle) -> None:
        with self._freezing:
            container = self._engine.find(handle.ref)
            if is_frozen := container.status == "paused":
                self._engine.unpause(container)
            self._frozen.end(handle.ref, stood_still=is_frozen)

    async def frozen(self, handle: Handle) -> Frozen:
        return self._frozen.of(handle.ref)

    async def snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        return await asyncio.to_thread(self._snapshot, handle, target, most_bytes)

    def _snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        """Where the engine has no freezer the job writes on: it must rename what is finished into place, as it must for
        its own sake."""
        with self._freezing:
            container = self._engine.find(handle.ref)
            if freezes := container.status == "running":
                self._frozen.begin(handle.ref)
                try:
                    self._engine.pause(container)
                except SandboxProblem:
                    freezes = False
            try:
                return self._disks.snapshot(handle.job, target, most_bytes)
            finally:
                if freezes:
                    self._engine.unpause(container)
                if container.status == "running":
                    self._frozen.end(handle.ref, stood_still=freezes)

    async def stop(self, handle: Handle, grace_s: float = 2.0) -> None:
        self._reasons.setdefault(handle.ref, "stopped")
        await asyncio.to_thread(self._engine.stop, handle.ref, grace_s)

    async def collect(self, handle: Handle, name: str = WEIGHTS_NAME, max_bytes: int = 64 * MIB) -> Collected:
        return await asyncio.to_thread(self._collect, handle, name, max_bytes)

    def _collect(self, handle: Handle, name: str, max_bytes: int) -> Collected:
        if any(found.status in _ALIVE for found in self._engine.containers(handle.job)):
            raise SandboxRefused(f"job {handle.job} is still at work", hint="wait for its end before collecting")
        target = self._copies / handle.job / f"{handle.attempt}.{name}"
        return Collected(target, *self._disks.take(handle.job, name, target, max_bytes))

    async def discard(self, job: str) -> None:
        await asyncio.to_thread(self._discard, job)

    def _discard(self, job: str) -> None:
        for container in self._engine.containers(job):
            self._remove(container)
        self._forget(job)

    def _remove(self, container: Any) -> None:
        self._engine.remove(container)
        self._frozen.forget(container.id)
        for room in (self._meters, self._pumps, self._reasons):
            room.pop(container.id, None)

    def _forget(self, job: str) -> None:
        self._disks.remove(job)
        shutil.rmtree(self._copies / job, ignore_errors=True)
