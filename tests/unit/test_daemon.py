"""The loop of every node: it waits out what waiting cures, ends on the rest, keeps jobs apart (threats 29-31, 38)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from heldout.market import daemon
from heldout.market.alarm import Alarm
from heldout.market.daemon import Isolation, Loop, Pace, parse_listen, stopping_on_signals
from heldout.market.errors import (
    BadEnvelope,
    BadInput,
    ChainProblem,
    Reverted,
    RpcsDisagree,
    StoreProblem,
    WrongNetwork,
)
from heldout.market.terms import JobId

JOB, OTHER = JobId("0x" + "01" * 32), JobId("0x" + "02" * 32)


@dataclass(frozen=True)
class Block:
    number: int
    timestamp: int = 0


@dataclass
class Recorder:
    """A node that remembers the blocks it acted on, and fails when told to."""

    steps: list[int] = field(default_factory=list)
    problem: Exception | None = None

    def step(self, head: Block, /) -> None:
        if self.problem:
            raise self.problem
        self.steps.append(head.number)


@dataclass
class World:
    """A chain of numbers and a clock that the test moves."""

    now: float = 0.0
    number: int = 10
    down: bool = False

    def clock(self) -> float:
        return self.now

    def head(self) -> Block:
        if self.down:
            raise ChainProblem("connection refused")
        return Block(self.number)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alarm(world: World) -> Alarm:
    return Alarm(clock=world.clock)


def looping(world: World, alarm: Alarm, node: Recorder) -> Loop[Block]:
    return Loop(node, world.head, alarm, pace=Pace(1.0, 30.0, 120.0), clock=world.clock)


def test_each_turn_acts_on_the_head_and_waits_one_period(world: World, alarm: Alarm) -> None:
    node = Recorder()
    loop = looping(world, alarm, node)
    assert not loop.ready
    assert loop.turn() == 1.0
    world.number += 1
    assert loop.turn() == 1.0
    assert node.steps == [10, 11]
    assert loop.ready


def test_while_the_rpc_is_down_pauses_grow_to_a_limit_and_the_alarm_rings(world: World, alarm: Alarm) -> None:
    loop = looping(world, alarm, Recorder())
    world.down = True
    assert [loop.turn() for _ in range(7)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert ("node_stalled", None) in alarm.active
    assert not loop.ready
    world.down = False
    assert loop.turn() == 1.0
    assert alarm.active == frozenset()
    assert loop.ready


def test_trouble_in_a_step_that_waiting_cures_is_waited_out(world: World, alarm: Alarm) -> None:
    node = Recorder(problem=StoreProblem("store down"))
    loop = looping(world, alarm, node)
    assert loop.turn() == 2.0
    node.problem = None
    assert loop.turn() == 1.0
    assert node.steps == [10]


def test_another_chain_ends_the_daemon(world: World, alarm: Alarm) -> None:
    loop = looping(world, alarm, Recorder(problem=WrongNetwork("chain id 1")))
    with pytest.raises(WrongNetwork):
        loop.run()


def test_a_head_that_goes_back_is_waited_for_and_believed_only_later(world: World, alarm: Alarm) -> None:
    """Threat 31: a lagging RPC must not make a node act on the past, nor a chain that went back stop it for ever."""
    node = Recorder()
    loop = looping(world, alarm, node)
    loop.turn()
    world.number = 8
    world.now = 60.0
    loop.turn()
    assert node.steps == [10]
    world.now = 121.0
    loop.turn()
    assert node.steps == [10, 8]
    assert ("head_stale", None) in alarm.active
    world.number = 9
    loop.turn()
    assert node.steps == [10, 8, 9]
    assert alarm.active == frozenset()


def test_the_loop_ends_when_it_is_asked_to(world: World, alarm: Alarm) -> None:
    stop = threading.Event()

    class Once(Recorder):
        def step(self, head: Block, /) -> None:
            super().step(head)
            stop.set()

    node = Once()
    Loop(node, world.head, alarm, stop=stop, clock=world.clock).run()
    assert node.steps == [10]


def test_a_signal_stops_after_the_turn_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Event()
    with stopping_on_signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


# ----------------------------------------------------------------------------------------------- isolation


def failing(problem: Exception) -> Callable[[], None]:
    def step() -> None:
        raise problem

    return step


@pytest.mark.parametrize(
    "problem", [BadEnvelope("does not open"), StoreProblem("404"), Reverted("TooLate"), KeyError("bug")]
)
def test_one_jobs_trouble_leaves_the_others_alone(world: World, alarm: Alarm, problem: Exception) -> None:
    jobs = Isolation(alarm, clock=world.clock)
    done: list[str] = []
    assert not jobs.run(JOB, failing(problem))
    assert jobs.run(OTHER, lambda: done.append("other"))
    assert not jobs.run(JOB, lambda: done.append("too early"))
    world.now = 2.5
    assert jobs.run(JOB, lambda: done.append("again"))
    assert done == ["other", "again"]


def test_a_bug_in_one_job_rings_the_alarm(world: World, alarm: Alarm) -> None:
    Isolation(alarm, clock=world.clock).run(JOB, failing(ZeroDivisionError()))
    assert alarm.active == {("bug", JOB)}


def test_a_job_about_which_rpcs_disagree_rings_until_they_agree(world: World, alarm: Alarm) -> None:
    """Threat 32."""
    jobs = Isolation(alarm, clock=world.clock)
    assert not jobs.run(JOB, failing(RpcsDisagree("one tells another split")))
    assert alarm.active == {("rpcs_disagree", JOB)}
    world.now = 2.5
    assert jobs.run(JOB, lambda: None) and alarm.active == set()


@pytest.mark.parametrize("problem", [ChainProblem("down"), WrongNetwork("other chain")])
def test_what_concerns_every_job_is_not_one_jobs_trouble(world: World, alarm: Alarm, problem: Exception) -> None:
    with pytest.raises(type(problem)):
        Isolation(alarm, clock=world.clock).run(JOB, failing(problem))


# --------------------------------------------------------------------------------------------- -----, /metrics


def test_an_address_to_listen_on_is_checked() -> None:
    assert parse_listen("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert parse_listen("[::1]:0") == ("::1", 0)
    for wrong in ("9464", "example.org:1", "127.0.0.1:http"):
        with pytest.raises(BadInput):
            parse_listen(wrong)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1:9464", True), ("localhost", True), ("[::1]:80", True), ("evil.example:9464", False), ("", False)],
)
def test_only_local_names_are_answered(host: str, local: bool) -> None:
    """Threat 76: a page that rebinds its own name to 127.0.0.1 still sends that name."""
    assert daemon._is_local_name(host) is local


def test_metrics_show_the_head_and_what_failed(world: World, alarm: Alarm) -> None:
    registry = CollectorRegistry()
    node = Recorder()
    loop = Loop(node, world.head, alarm, registry=registry, clock=world.clock)
    loop.turn()
    world.down = True
    loop.turn()
    assert registry.get_sample_value("heldout_head_block") == 10
    assert registry.get_sample_value("heldout_cycle_failures_total", {"code": "chain_unavailable"}) == 1
