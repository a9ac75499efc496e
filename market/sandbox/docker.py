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
from heldout.market.sandbox import MIB, WEIGHTS_NAME, Collected, Elapsed, Handle, RunReport, RunSpec
from heldout.market.sandbox.accelerators import Accelerator, Grant, NoAccelerator
from heldout.market.sandbox.disk import Disks, LoopDisks, may_mount
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.errors import AttemptLost, ImageRefused, SandboxRefused, SandboxUnavailable
from heldout.market.sandbox.meter import Ending, Meter, excesses, killed_by, unix
from heldout.market.sandbox.places import Place, free_uid, pick_cores, pick_devices
from heldout.market.sandbox.profile import (
    LABEL_ATTEMPT,
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
from heldout.market.sandbox.stopwatch import Stopwatch, since_boot
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
        ticks: Callable[[], float] = since_boot,
    ) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = Engine(node_label(state), address)
        self._disks = disks(self._engine) if disks else LoopDisks(state) if may_mount() else VolumeDisks(self._engine)
        self._accelerator = accelerator or NoAccelerator()
        self._profile = profile
        self._copies = state / "collected"
        self._clock, self._ticks = clock, ticks
        self._starting = threading.Lock()
        self._freezing = threading.Lock()
        self._watch = Stopwatch(state, ticks)
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
        with self._starting, self._engine.choosing():  # two attempts must not choose the same place
            place = self._place(spec)
            out = self._disks.open(spec, place.uid)
            grant = self._accelerator.grant(place.devices) if place.devices else Grant()
            dialect, pins = self._engine.dialect, self._engine.facts.pins_cores
            setting = Setting(self._engine.node, image, out, deadline, place, runtime, grant, dialect, pins)
            container = self._engine.run(self._profile(spec, setting))
        self._watch.start(container.id, age_s=0.0, latest_s=spec.deadline - self._clock())
        return container

    def _runtime(self, tier: str) -> str:
        facts = self._engine.facts
        if tier not in facts.runtimes:
            why = facts.missing.get(tier, "there is no such tier")
            raise SandboxRefused(f"this engine cannot run {tier} jobs: {why}", hint="see `heldout provider doctor`")
        return facts.runtimes[tier]

    def _place(self, spec: RunSpec) -> Place:
        """A uid, cores and devices that no running job has, of this or of another node on the engine."""
        taken = [place_of(found.labels) for found in self._engine.neighbours()]
        if (uid := self._disks.owner(spec.job)) is None:
            uid = free_uid(spec.job, {place.uid for place in taken} | self._engine.kept_uids())
        if spec.limits.gpus and spec.tier not in self._accelerator.tiers:
            raise SandboxRefused(f"no device can be given to a {spec.tier} job here", hint="see [offer] accelerator")
        have = [device.id for device in self._accelerator.devices()] if spec.limits.gpus else []
        return Place(
            uid=uid,
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
        kept, containers = [], self._engine.containers()
        self._watch.forget_all_but({container.id for container in containers})
        for container in containers:
            if container.labels[LABEL_JOB] not in jobs or container.status == "created":
                self._remove(container)
                continue
            if container.status in _ALIVE and self._left(container) <= 0:
                self._reasons[container.id] = "deadline"
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
        pause, silent_since = _POLL_S[0], self._ticks()
        while True:
            try:
                container = await asyncio.to_thread(self._look, handle)
                silent_since = self._ticks()
            except SandboxUnavailable:
                if self._ticks() - silent_since > _OUTAGE_S:
                    raise
            else:
                if container.status not in _ALIVE:
                    return await asyncio.to_thread(self._report, handle, container)
                if reason := self._must_stop(handle, container):
                    self._reasons[handle.ref] = reason
                    await self.stop(handle, 2.0 if reason == "deadline" else 0.0)
                    continue
                pause = min(pause, self._left(container) + 0.01)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_S[1])

    def _look(self, handle: Handle) -> Any:
        worked_s = self._watch.of(handle.ref).worked_s  # before the engine is asked: an answer may take its time
        container = self._engine.find(handle.ref)
        if container.status == "created":
            raise AttemptLost(f"{container.name} was never started", hint="start the next attempt")
        self._pump(handle)
        meter = self._meters.setdefault(handle.ref, Meter())
        if container.status == "running":
            meter.add(self._engine.stats(container))
        if container.status in _ALIVE:
            meter.worked_s = worked_s
        return container

    def _must_stop(self, handle: Handle, container: Any) -> str | None:
        if self._left(container) <= 0:
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
        meter, room, limits = self._meters.get(handle.ref, Meter()), self._disks.room(handle.job), limits_of(labels)
        self._watch.thaw(handle.ref)  # it was ended, or removed from the freezer by the engine's own end
        elapsed = self._elapsed(container)
        allowed_s = self._watch.allowed(handle.ref, limits.seconds)
        wall_s = meter.wall_s(unix(state["FinishedAt"]) - unix(state["StartedAt"]), elapsed)
        reason = killed_by(state, self._reasons.get(handle.ref), late=wall_s >= allowed_s)
        end = Ending(reason, wall_s, allowed_s, meter.cpu_s, pump.bytes_seen, room)
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
            frozen_s=elapsed.frozen_s,
        )

    def _left(self, container: Any) -> float:
        """Seconds until this attempt must be ended."""
        self._elapsed(container)
        return self._watch.left(container.id, limits_of(container.labels).seconds)

    def _elapsed(self, container: Any) -> Elapsed:
        """As noted at its start. Of one whose node died before it could, by the engine's stamps: once, and from then on
        by the stopwatch."""
        if not self._watch.knows(container.id):
            latest, now = float(container.labels[LABEL_LATEST]), self._clock()
            age = max(0.0, now - unix(container.attrs["State"]["StartedAt"]))
            self._watch.start(container.id, age_s=age, latest_s=latest - now + age)
        return self._watch.of(container.id)

    def _handle(self, container: Any) -> Handle:
        labels, now = container.labels, self._clock()
        return Handle(
            job=labels[LABEL_JOB],
            attempt=labels[LABEL_ATTEMPT],
            ref=container.id,
            image=container.attrs["Image"],
            started=now - self._elapsed(container).total_s,
            deadline=now + self._left(container),
        )

    async def freeze(self, handle: Handle) -> None:
        await asyncio.to_thread(self._freeze, handle)

    def _freeze(self, handle: Handle) -> None:
        with self._freezing:
            container = self._engine.find(handle.ref)
            if container.status == "running":
                self._watch.freeze(handle.ref)
                try:
                    self._engine.pause(container)
                except SandboxProblem:
                    self._watch.thaw(handle.ref, stood_still=False)
                    raise

    async def thaw(self, handle: Handle) -> None:
        await asyncio.to_thread(self._thaw, handle)

    def _thaw(self, handle: Handle) -> None:
        with self._freezing:
            container = self._engine.find(handle.ref)
            if is_frozen := container.status == "paused":
                self._engine.unpause(container)
            self._watch.thaw(handle.ref, stood_still=is_frozen)

    async def elapsed(self, handle: Handle) -> Elapsed:
        return self._watch.of(handle.ref)

    async def snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        return await asyncio.to_thread(self._snapshot, handle, target, most_bytes)

    def _snapshot(self, handle: Handle, target: Path, most_bytes: int) -> bool:
        """Where the engine has no freezer the job writes on: it must rename what is finished into place, as it must for
        its own sake."""
        with self._freezing:
            container = self._engine.find(handle.ref)
            if freezes := container.status == "running":
                self._watch.freeze(handle.ref)
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
                    self._watch.thaw(handle.ref, stood_still=freezes)

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
        self._watch.forget(container.id)
        for room in (self._meters, self._pumps, self._reasons):
            room.pop(container.id, None)

    def _forget(self, job: str) -> None:
        self._disks.remove(job)
        shutil.rmtree(self._copies / job, ignore_errors=True)
