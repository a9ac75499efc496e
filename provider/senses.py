"""What a node can feel of its machine and its owner: users at work, battery, heat, and the owner's last word."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from heldout.provider.hardware import tool_lines
from heldout.provider.owner import Conditions, Wish

WISH_FILE = "wish"
LOOK_EVERY_S = 15.0


class Senses:
    """Looks at most every LOOK_EVERY_S; the owner's word is read each time."""

    def __init__(self, home: Path, ticks: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._ticks = ticks
        self._looked = float("-inf")
        self._conditions = Conditions(minute=0)

    @property
    def conditions(self) -> Conditions:
        if self._ticks() - self._looked >= LOOK_EVERY_S:
            self._conditions, self._looked = feel(), self._ticks()
        return self._conditions

    @property
    def wish(self) -> Wish:
        return read_wish(self._home)


def feel() -> Conditions:
    """This machine now."""
    now = datetime.now()  # the owner's clock on the wall
    return Conditions(
        minute=now.hour * 60 + now.minute,
        idle_minutes=_idle_minutes(time.time()),
        on_battery=_on_battery(),
        celsius=_hottest(),
    )


def read_wish(home: Path) -> Wish:
    """What the owner last said; work, if nothing, or nothing that makes sense."""
    with suppress(OSError, ValueError):
        return Wish((home / WISH_FILE).read_text().strip())
    return Wish.WORK


def wish_since(home: Path) -> float | None:
    """Unix time of the owner's last word; None if there was none."""
    with suppress(OSError):
        return (home / WISH_FILE).stat().st_mtime
    return None


def write_wish(home: Path, wish: Wish) -> None:
    """Whole or not at all: a running node may read at any moment."""
    new = home / (WISH_FILE + ".new")
    new.write_text(wish + "\n")
    os.replace(new, home / WISH_FILE)


def _on_battery() -> bool | None:
    """None on a machine without a battery."""
    import psutil

    read: Callable[[], Any] = getattr(psutil, "sensors_battery", lambda: None)
    with suppress(OSError):  # psutil fails on kernels that know no power supplies, as of virtual machines
        if battery := read():
            return not battery.power_plugged
    return None


def _hottest() -> float | None:
    import psutil

    read: Callable[[], Any] = getattr(psutil, "sensors_temperatures", dict)
    return max((sensor.current for sensors in read().values() for sensor in sensors), default=None)


def _idle_minutes(now: float) -> float | None:
    """By the terminals' access times, as w(1) does, and by what a desktop tells the login manager."""
    import psutil

    seat = tool_lines("loginctl", "show-seat", "seat0", "-p", "IdleHint", "-p", "IdleSinceHint")
    used = desktop_used(seat, now)
    for user in psutil.users():
        with suppress(OSError):
            used.append(Path("/dev", user.terminal or "").stat().st_atime if user.terminal else user.started)
    return max(0.0, now - max(used)) / 60 if used else None


def desktop_used(lines: list[str], now: float) -> list[float]:
    """When the seat was last used, in Unix seconds, from `loginctl show-seat`; empty if there is no such seat."""
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    if said.get("IdleHint") == "no":
        return [now]
    since = said.get("IdleSinceHint", "")
    return [int(since) / 1e6] if since.isdecimal() and int(since) else []
