"""Alarms: whoever must act by a deadline is told in time, and not drowned (issue 2 item 7)."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from heldout.market.alarm import Alarm, Notice, at_risk, command_channel
from heldout.market.terms import JobId, Timestamp

JOB = JobId("0x" + "ab" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("left", "risky"), [(100, False), (26, False), (25, False), (24, True), (1, True), (0, False), (-1, False)]
)
def test_a_stage_is_at_risk_in_its_last_quarter(left: int, risky: bool) -> None:
    assert at_risk(Timestamp(1000), Timestamp(1000 - left), 100) is risky


def test_the_same_alarm_is_said_once_until_it_is_time_to_repeat_it() -> None:
    clock = Clock()
    alarm = Alarm(repeat_s=60, clock=clock)
    assert alarm.ring("reveal_at_risk", "reveal now", job=JOB)
    assert not alarm.ring("reveal_at_risk", "reveal now", job=JOB)
    assert alarm.ring("reveal_at_risk", "another job's alarm is its own")
    clock.now = 61
    assert alarm.ring("reveal_at_risk", "reveal now", job=JOB)


def test_a_cleared_alarm_can_ring_again_at_once() -> None:
    alarm = Alarm(clock=Clock())
    alarm.ring("low_gas", "top up")
    alarm.clear("low_gas")
    assert alarm.active == frozenset()
    assert alarm.ring("low_gas", "top up")


def test_metrics_count_every_ring_and_show_what_is_on() -> None:
    registry, clock = CollectorRegistry(), Clock()
    alarm = Alarm(registry=registry, repeat_s=10, clock=clock)
    alarm.ring("low_gas", "top up")
    clock.now = 11
    alarm.ring("low_gas", "top up")
    alarm.ring("low_gas", "for a job", job=JOB)
    assert registry.get_sample_value("heldout_alarms_total", {"code": "low_gas"}) == 3
    assert registry.get_sample_value("heldout_alarm_on", {"code": "low_gas"}) == 2
    alarm.clear("low_gas", job=JOB)
    alarm.clear("low_gas", job=JOB)
    assert registry.get_sample_value("heldout_alarm_on", {"code": "low_gas"}) == 1


def test_the_command_gets_the_notice_as_json_on_stdin_and_no_shell(tmp_path: Path) -> None:
    heard = tmp_path / "heard $(touch gone)"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    notice = Notice("demand_open", "answer it; `rm -rf`", JOB, Timestamp(77))
    command_channel([sys.executable, "-c", code, str(heard)])(notice)
    assert json.loads(heard.read_bytes()) == {
        "code": "demand_open",
        "message": "answer it; `rm -rf`",
        "job": JOB,
        "deadline": 77,
    }


def test_a_command_that_hangs_or_fails_is_an_error_of_the_channel() -> None:
    with pytest.raises(TimeoutError):
        command_channel([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)(Notice("x", "y"))
    with pytest.raises(OSError, match="ended with 3"):
        command_channel([sys.executable, "-c", "raise SystemExit(3)"])(Notice("x", "y"))


def test_a_channel_that_fails_or_blocks_never_holds_up_the_node() -> None:
    blocked, heard = threading.Event(), threading.Event()

    def stuck(notice: Notice) -> None:
        blocked.wait(5)
        raise OSError("unreachable")

    alarm = Alarm([stuck, lambda notice: heard.set()])
    assert alarm.ring("low_gas", "top up")
    assert heard.wait(5)
    blocked.set()
