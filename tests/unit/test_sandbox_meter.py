"""Why an attempt ended, from the engine's record."""

from __future__ import annotations

from typing import Any

import pytest

from heldout.market.sandbox.meter import Meter, killed_by, unix

ENDED = "2026-01-02T03:04:05.123456789Z"
NOW = unix(ENDED)


def state(code: int, oom: bool = False) -> dict[str, Any]:
    return {"ExitCode": code, "OOMKilled": oom, "FinishedAt": ENDED}


@pytest.mark.parametrize(
    ("found", "deadline", "reason", "verdict"),
    [
        (state(0), NOW + 60, None, None),
        (state(1), NOW + 60, None, None),
        (state(137, oom=True), NOW + 60, None, "memory"),
        (state(0, oom=True), NOW + 60, None, None),  # a child was killed, the job coped
        (state(137), NOW - 1, None, "deadline"),
        (state(0), NOW - 1, None, "deadline"),  # it answered TERM politely, but it was late
        (state(143), NOW + 60, "stopped", "stopped"),
        (state(137), NOW + 60, None, "signal"),
    ],
)
def test_the_verdict_follows_from_the_record(
    found: dict[str, Any], deadline: float, reason: str | None, verdict: str | None
) -> None:
    assert killed_by(found, deadline, reason) == verdict


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
