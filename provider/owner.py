"""The owner comes first: when this machine may take work, and what its owner last told it to do. Pure.

work    ── bids whenever [when] allows it
freeze  ── as pause, and what runs stands still until `resume`
pause   ── no new bids; what was promised goes on
drain   ── as pause, and the node ends once nothing is promised any more
leave   ── as drain, and the free balance goes back to the node's address before it ends
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from heldout.market.errors import BadInput

DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


class Wish(StrEnum):
    """What `heldout provider pause | freeze | resume | drain | leave` leave in the node's home."""

    WORK = "work"
    PAUSE = "pause"
    FREEZE = "freeze"
    DRAIN = "drain"
    LEAVE = "leave"

    @property
    def ends(self) -> bool:
        """Whether the node is to end once nothing is promised."""
        return self in (Wish.DRAIN, Wish.LEAVE)


@dataclass(frozen=True)
class Conditions:
    """This machine at one moment. None where it cannot tell."""

    minute: int
    """Of the local day, from 0."""
    idle_minutes: float | None = None
    """Since somebody last used a terminal or the desktop; None if nobody is logged in."""
    on_battery: bool | None = None
    celsius: float | None = None
    """The hottest sensor."""


@dataclass(frozen=True)
class When:
    """`[when]` of provider.toml."""

    hours: tuple[tuple[int, int], ...] = ()
    """Spans of minutes of the local day, end excluded, possibly over midnight; none means always."""
    idle_minutes: int = 0
    on_battery: bool = False
    hottest: int = 0
    """Degrees Celsius; 0 means no limit."""
    freeze: bool = False
    """Whether it holds for running jobs too."""
    thaw_at_risk: bool = True
    """Whether a frozen job goes on when it would otherwise miss its deadline."""


def parse_hours(text: str) -> tuple[tuple[int, int], ...]:
    """`22:00-07:00, 12:00-13:00`. Raises BadInput."""
    spans = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _SPAN.fullmatch(part)
        if not match:
            raise BadInput(f'[when] hours: "{part}" is no span', hint='write hours = "22:00-07:00"', code="bad_config")
        begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if begin == end:
            raise BadInput(f'[when] hours: "{part}" is empty', hint="leave hours out for always", code="bad_config")
        spans.append((begin, end))
    return tuple(spans)


def objection(when: When, wish: Wish, now: Conditions) -> str | None:
    """Why no new work may be taken now; None if it may. What cannot be measured does not object, but for the doctor."""
    if wish is not Wish.WORK:
        return f"the owner told it to {wish}: `heldout provider resume`"
    if when.hours and not any(_within(now.minute, begin, end) for begin, end in when.hours):
        return f"{_clock(now.minute)} is outside the hours in [when]"
    if when.idle_minutes and now.idle_minutes is not None and now.idle_minutes < when.idle_minutes:
        return f"somebody used this machine {now.idle_minutes:.0f} min ago: [when] asks for {when.idle_minutes}"
    if now.on_battery and not when.on_battery:
        return "it runs on battery"
    if when.hottest and now.celsius is not None and now.celsius > when.hottest:
        return f"{now.celsius:.0f} degrees are more than the {when.hottest} of [when]"
    return None


def freezes(when: When, wish: Wish, now: Conditions) -> str | None:
    """Why running jobs should stand still now; None if they may run."""
    if wish is Wish.FREEZE:
        return objection(when, wish, now)
    return objection(when, Wish.WORK, now) if when.freeze else None


def unmeasured(when: When, now: Conditions) -> list[str]:
    """Conditions that [when] names and this machine cannot tell: for the doctor."""
    return ["hottest: no temperature sensor"] if when.hottest and now.celsius is None else []


def _within(minute: int, begin: int, end: int) -> bool:
    return (minute - begin) % DAY_MINUTES < (end - begin) % DAY_MINUTES


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
