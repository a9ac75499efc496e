"""Attempts as the node sees them: adopted, followed, and not lost while the engine is away (threats 40, 60, 61)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heldout.market.sandbox import Collected, Handle, RunReport, RunSpec, SandboxUnavailable
from heldout.market.sandbox.errors import AttemptLost
from heldout.provider.training import Training

DONE = RunReport(0, None, 1.0, 1.0, 0, 0, "sha256:0", b"")
LOST = AttemptLost("gone")
AWAY = SandboxUnavailable("engine away")


@dataclass
class Stage:
    """A runner whose attempts do what the test says: each `wait` plays the next ending, or never ends."""

    isolates: bool = True
    handles: list[Handle] = field(default_factory=list)
    endings: list[RunReport | Exception] = field(default_factory=list)
    waits: int = 0
    named: list[Collection[str]] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    async def start(self, spec: RunSpec) -> Handle:
        return handle(spec.job, spec.attempt)

    async def reconcile(self, jobs: Collection[str]) -> list[Handle]:
        self.named.append(jobs)
        return [each for each in self.handles if each.job in jobs]

    async def wait(self, handle: Handle) -> RunReport:
        self.waits += 1
        if not self.endings:
            await asyncio.Event().wait()
        ending = self.endings.pop(0)
        if isinstance(ending, Exception):
            raise ending
        return ending

    async def logs(self, handle: Handle) -> AsyncIterator[str]:
        await asyncio.sleep(0.02)  # the log comes a little later than the end
        yield f"line of {handle.attempt}"

    async def collect(self, handle: Handle, name: str = "", max_bytes: int = 0) -> Collected:
        return Collected(Path(handle.attempt), b"", max_bytes)

    async def discard(self, job: str) -> None:
        self.discarded.append(job)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def handle(job: str, attempt: str) -> Handle:
    return Handle(job, attempt, f"ref-{attempt}", "sha256:0", 0.0, 9e9)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def training(stage: Stage) -> Iterator[Training]:
    found = Training(stage)
    yield found
    found.close()


def eventually(ask: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 5
    while not (answer := ask()) and time.monotonic() < give_up:
        time.sleep(0.005)
    return answer


def test_the_newest_attempt_that_is_not_known_to_have_failed_is_adopted(stage: Stage, training: Training) -> None:
    stage.handles = [handle("a", "10"), handle("a", "9"), handle("b", "2"), handle("stray", "1")]
    training.adopt({"a": 0, "b": 2, "c": 0})
    assert training.has("a") and not training.has("b") and not training.has("stray")
    assert training.collect("a", 7) == Collected(Path("10"), b"", 7)
    assert sorted(stage.named[0]) == ["a", "b", "c"]


def test_an_attempt_that_has_ended_has_told_all_its_lines_and_tells_each_once(stage: Stage, training: Training) -> None:
    stage.handles, stage.endings = [handle("a", "1")], [DONE]
    training.adopt({"a": 0})
    assert eventually(lambda: training.ended("a")) == DONE
    assert training.new_lines("a") == ["line of 1"]
    assert training.new_lines("a") == []
    assert training.ended("a") == DONE


def test_an_engine_that_is_away_for_long_is_waited_for_again(stage: Stage, training: Training) -> None:
    stage.handles, stage.endings = [handle("a", "1")], [AWAY, AWAY, DONE]
    training.adopt({"a": 0})
    assert eventually(lambda: training.ended("a")) == DONE
    assert stage.waits == 3


def test_an_attempt_that_somebody_removed_is_told_as_lost(stage: Stage, training: Training) -> None:
    stage.handles, stage.endings = [handle("a", "1")], [LOST]
    training.adopt({"a": 0})
    with pytest.raises(AttemptLost):
        eventually(lambda: training.ended("a"))


def test_a_discarded_job_leaves_nothing_and_a_dropped_attempt_its_output(stage: Stage, training: Training) -> None:
    stage.handles = [handle("a", "1"), handle("b", "1")]
    training.adopt({"a": 0, "b": 0})
    training.drop("a")
    training.discard("b")
    assert not training.has("a") and not training.has("b")
    assert stage.discarded == ["b"]
