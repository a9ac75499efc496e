"""Why an attempt ended, from the engine's record."""

from __future__ import annotations

from typing import Any

import pytest

from heldout.market.sandbox.meter import Meter, killed_by, unix
from heldout.market.sandbox.stopwatch import Elapsed


def state(code: int, oom: bool = False) -> dict[str, Any]:
    return {"ExitCode": code, "OOMKilled": oom}


@pytest.mark.parametrize(
    ("found", "late", "reason", "verdict"),
    [
        (state(0), False, None, None),
        (state(1), False, None, None),
        (state(137, oom=True), False, None, "memory"),
        (state(0, oom=True), False, None, None),  # a child was killed, the job coped
        (state(137), True, None, "deadline"),
        (state(0), True, None, "deadline"),  # it answered TERM politely, but it was late
        (state(143), False, "stopped", "stopped"),
        (state(137), False, None, "signal"),
    ],
)
def test_the_verdict_follows_from_the_record(
    found: dict[str, Any], late: bool, reason: str | None, verdict: str | None
) -> None:
    assert killed_by(found, reason, late=late) == verdict


def test_stamps_with_nanoseconds_are_read() -> None:
    assert unix("1970-01-01T00:00:01.500000000Z") == 1.5
    assert unix("1970-01-01T01:00:00.25+01:00") == 0.25


def test_the_meter_keeps_the_highest_and_takes_no_page_cache() -> None:
    meter = Meter()
    for usage, cache in ((100, 0), (900, 700), (50, 0)):
        cpu = {"cpu_usage": {"total_usage": 2_000_000_000}}
        meter.add({"cpu_stats": cpu, "memory_stats": {"usage": usage, "stats": {"inactive_file": cache}}})
    meter.add({"cpu_stats": {}, "memory_stats": {}})
    assert (meter.cpu_s, meter.peak_memory) == (2.0, 200)


@pytest.mark.parametrize(
    ("stamped", "seen", "now", "wall"),
    [
        (60.0, 59.2, 60.9, 60.0),
        (3660.0, 59.2, 60.9, 60.9),  # the clock was set forward by an hour in between
        (-3540.0, 59.2, 60.9, 59.2),  # and back
    ],
)
def test_a_clock_that_is_set_in_between_moves_no_wall_time(
    stamped: float, seen: float, now: float, wall: float
) -> None:
    meter = Meter()
    meter.worked_s = seen
    assert meter.wall_s(stamped, Elapsed(now)) == wall
    assert meter.wall_s(stamped + 5, Elapsed(now, frozen_s=5.0)) == wall
