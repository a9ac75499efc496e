"""Time of attempts, by a clock that only passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heldout.market.sandbox.stopwatch import Elapsed, Stopwatch, since_boot


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def watch(tmp_path: Path, ticks: Ticks) -> Stopwatch:
    watch = Stopwatch(tmp_path, ticks)
    watch.start("a", age_s=0.0, latest_s=1000.0)
    return watch


def test_an_attempt_has_its_seconds_and_no_more(watch: Stopwatch, ticks: Ticks) -> None:
    assert watch.left("a", 60.0) == 60.0
    ticks.now = 159.0
    assert watch.left("a", 60.0) == 1.0 and watch.of("a") == Elapsed(worked_s=59.0)
    ticks.now = 161.0
    assert watch.left("a", 60.0) == -1.0


def test_frozen_time_is_kept_across_a_crash_and_counted_once(watch: Stopwatch, ticks: Ticks, tmp_path: Path) -> None:
    watch.freeze("a")
    ticks.now = 107.0
    again = Stopwatch(tmp_path, ticks)
    again.freeze("a")
    assert again.of("a") == Elapsed(0.0, 7.0, True)
    ticks.now = 110.0
    again.thaw("a")
    again.thaw("a")
    ticks.now = 500.0
    assert watch.of("a") == Elapsed(390.0, 10.0) and watch.left("a", 400.0) == 10.0
    watch.freeze("a")
    ticks.now = 600.0
    watch.thaw("a", stood_still=False)
    assert watch.of("a").frozen_s == 10.0, "a node that died before it froze anything"


def test_the_job_s_own_end_does_not_wait_for_a_frozen_attempt(watch: Stopwatch, ticks: Ticks) -> None:
    watch.freeze("a")
    ticks.now = 1040.0
    assert watch.left("a", 600.0) == 60.0
    ticks.now = 1100.0
    assert watch.left("a", 600.0) == 0.0 and watch.allowed("a", 600.0) == 0.0


@pytest.mark.parametrize("spoil", ["torn", "{}", '{"boot": "", "started": "x", "latest": 1, "frozen": 0, "since": 1}'])
def test_a_note_that_cannot_be_read_is_none(watch: Stopwatch, tmp_path: Path, spoil: str) -> None:
    (tmp_path / "times" / "a").write_text(spoil)
    assert not watch.knows("a") and watch.of("a") == Elapsed()


def test_a_note_of_another_boot_is_none(watch: Stopwatch, tmp_path: Path) -> None:
    """Seconds since boot begin again, and nothing that ran before runs now."""
    note = tmp_path / "times" / "a"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"boot": "another"}))
    assert not watch.knows("a")


def test_an_attempt_that_is_forgotten_is_not_known(watch: Stopwatch) -> None:
    watch.forget("a")
    watch.forget("a")
    assert not watch.knows("a")


def test_the_real_clock_passes() -> None:
    assert 0 < since_boot() <= since_boot()


def test_what_no_disk_takes_is_known_while_the_node_lives(tmp_path: Path, ticks: Ticks) -> None:
    (tmp_path / "times").touch()  # no note can be written below a file
    watch = Stopwatch(tmp_path, ticks)
    watch.start("a", age_s=5.0, latest_s=1000.0)
    watch.freeze("a")
    ticks.now += 3.0
    assert watch.of("a") == Elapsed(5.0, 3.0, True)
    (tmp_path / "times").unlink()
    watch.thaw("a")
    assert Stopwatch(tmp_path, ticks).of("a") == Elapsed(5.0, 3.0)


def test_notes_of_attempts_that_are_gone_are_removed(watch: Stopwatch, tmp_path: Path) -> None:
    watch.start("b", age_s=0.0, latest_s=1.0)
    watch.forget_all_but({"b"})
    assert [path.name for path in (tmp_path / "times").iterdir()] == ["b"]
