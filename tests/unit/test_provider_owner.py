"""The owner comes first: hours, idleness, battery, heat, and the owner's word (issue 5 item 9)."""

from pathlib import Path

import pytest

from heldout.market.errors import BadInput
from heldout.provider import config, senses
from heldout.provider.owner import Conditions, When, Wish, objection, parse_hours, unmeasured

NOON = Conditions(minute=12 * 60)


def test_a_kernel_without_power_supplies_has_no_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil raises there, and the node took it for a bug in each job: Debian's user-mode-linux 6.1."""
    monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(tmp_path / "none"))
    assert senses.feel().on_battery is None


def test_nothing_said_means_work() -> None:
    assert objection(When(), Wish.WORK, NOON) is None


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.DRAIN, Wish.LEAVE])
def test_the_owners_word_goes_before_everything(wish: Wish) -> None:
    assert "the owner told it to" in (objection(When(), wish, NOON) or "")


@pytest.mark.parametrize(
    "clock, works",
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59", True), ("07:00", False)],
)
def test_hours_may_go_over_midnight(clock: str, works: bool) -> None:
    when = When(hours=parse_hours("22:00-07:00"))
    hour, minute = map(int, clock.split(":"))
    assert (objection(when, Wish.WORK, Conditions(minute=hour * 60 + minute)) is None) is works


def test_several_spans_are_several_chances() -> None:
    when = When(hours=parse_hours(" 01:00-02:00, 11:30 - 12:30"))
    assert objection(when, Wish.WORK, NOON) is None
    assert objection(when, Wish.WORK, Conditions(minute=3 * 60)) == "03:00 is outside the hours in [when]"


@pytest.mark.parametrize("text", ["22-07", "24:00-01:00", "22:00", "22:00-22:00", "22:00-07:00; 1"])
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="hours"):
        parse_hours(text)


@pytest.mark.parametrize("idle, works", [(None, True), (0.0, False), (9.9, False), (10.0, True)])
def test_a_machine_in_use_is_left_alone(idle: float | None, works: bool) -> None:
    now = Conditions(minute=0, idle_minutes=idle)
    assert (objection(When(idle_minutes=10), Wish.WORK, now) is None) is works


def test_battery_is_spared_unless_told_otherwise() -> None:
    now = Conditions(minute=0, on_battery=True)
    assert objection(When(), Wish.WORK, now) == "it runs on battery"
    assert objection(When(on_battery=True), Wish.WORK, now) is None


@pytest.mark.parametrize("celsius, works", [(None, True), (80.0, True), (80.5, False)])
def test_a_hot_machine_cools_down_first(celsius: float | None, works: bool) -> None:
    now = Conditions(minute=0, celsius=celsius)
    assert (objection(When(hottest=80), Wish.WORK, now) is None) is works
    assert bool(unmeasured(When(hottest=80), now)) is (celsius is None)


def test_the_word_is_kept_on_disk_and_rubbish_means_work(tmp_path: Path) -> None:
    assert senses.read_wish(tmp_path) is Wish.WORK
    for wish in Wish:
        senses.write_wish(tmp_path, wish)
        assert senses.Senses(tmp_path).wish is wish
    (tmp_path / senses.WISH_FILE).write_bytes(b"\xff dance")
    assert senses.read_wish(tmp_path) is Wish.WORK


def test_conditions_are_felt_now_and_then_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, felt = [0.0], iter([NOON, Conditions(minute=1)])
    monkeypatch.setattr(senses, "feel", lambda: next(felt))
    body = senses.Senses(tmp_path, lambda: clock[0])
    assert body.conditions is body.conditions is NOON
    clock[0] = senses.LOOK_EVERY_S
    assert body.conditions == Conditions(minute=1)


def test_this_machine_can_be_felt() -> None:
    now = senses.feel()
    assert 0 <= now.minute < 24 * 60
    assert now.idle_minutes is None or now.idle_minutes >= 0


@pytest.mark.parametrize(
    "lines, used",
    [
        (["IdleHint=no", "IdleSinceHint=0"], [1000.0]),
        (["IdleHint=yes", "IdleSinceHint=400000000"], [400.0]),
        (["IdleHint=yes", "IdleSinceHint=0"], []),
        ([], []),
    ],
)
def test_a_desktop_tells_through_the_login_manager(lines: list[str], used: list[float]) -> None:
    assert senses.desktop_used(lines, 1000.0) == used


def test_when_is_read_from_the_file() -> None:
    read = config.parse("[pay]\nprice='1'\n[when]\nhours='22:00-07:00'\nidle_minutes=5\non_battery=true\nhottest=85")
    assert read.when == When(((22 * 60, 7 * 60),), 5, True, 85)
    with pytest.raises(BadInput, match="true or false"):
        config.parse("[pay]\nprice='1'\n[when]\non_battery='no'")
