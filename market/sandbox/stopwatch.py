"""How long each attempt has been there and stood still, by a clock that nobody can set.

<state>/times/<ref>    {"boot": the kernel's name for this boot, "started", "since": seconds since boot, or null,
                        "latest", "frozen": seconds}

An engine says when a container was started, but by the clock on the wall: one that is set while a job runs, or that a
node sees otherwise, would kill an honest job at once or an endless one never. Seconds since boot only pass. They are
kept on disk, for a node may die in between; no attempt outlives a boot, so none is held against another one's.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def since_boot() -> float:
    """Seconds, those included in which the machine slept: deadlines on chain do not wait for it either."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Seconds that an attempt has worked and stood still; whether it stands still now."""

    worked_s: float = 0.0
    frozen_s: float = 0.0
    is_frozen: bool = False

    @property
    def total_s(self) -> float:
        return self.worked_s + self.frozen_s


@dataclass(frozen=True, slots=True)
class _Note:
    boot: str
    started: float
    latest: float
    frozen: float = 0.0
    since: float | None = None


class Stopwatch:
    """Of one node's attempts, by `ref`. `ticks` are seconds since boot."""

    def __init__(self, state: Path, ticks: Callable[[], float] = since_boot) -> None:
        self._folder = state / "times"
        self._ticks = ticks
        self._unwritten: dict[str, _Note] = {}
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""

    def start(self, ref: str, *, age_s: float, latest_s: float) -> None:
        """The attempt began `age_s` ago and must be gone `latest_s` after that, however long it stood still."""
        self._write(ref, _Note(self._boot, self._ticks() - max(0.0, age_s), latest_s))

    def knows(self, ref: str) -> bool:
        """Whether this attempt's start was noted, since the machine was booted."""
        return self._read(ref) is not None

    def of(self, ref: str) -> Elapsed:
        """With the time of a freeze that has not ended; nothing of an attempt that is not known."""
        note, now = self._read(ref), self._ticks()
        if note is None:
            return Elapsed()
        frozen = note.frozen + (now - note.since if note.since is not None else 0.0)
        return Elapsed(max(0.0, now - note.started - frozen), frozen, note.since is not None)

    def allowed(self, ref: str, seconds: float) -> float:
        """Seconds that the attempt may work, of a limit of `seconds`. Less where the job's own end comes first: that
        does not wait for a frozen attempt."""
        note = self._read(ref)
        return seconds if note is None else min(seconds, note.latest - self.of(ref).frozen_s)

    def left(self, ref: str, seconds: float) -> float:
        """Seconds until the attempt must be ended, were it to work from now on; 0 or less: now."""
        return self.allowed(ref, seconds) - self.of(ref).worked_s

    def freeze(self, ref: str) -> None:
        """Noted before the attempt is frozen, so that no crash loses it. Idempotent."""
        note = self._read(ref)
        if note is not None and note.since is None:
            self._write(ref, replace(note, since=self._ticks()))

    def thaw(self, ref: str, *, stood_still: bool = True) -> None:
        """Unless it `stood_still` the freeze counts for nothing: the node died before it could freeze anything."""
        note = self._read(ref)
        if note is not None and note.since is not None:
            frozen = self._ticks() - note.since if stood_still else 0.0
            self._write(ref, replace(note, frozen=note.frozen + frozen, since=None))

    def forget(self, ref: str) -> None:
        self._unwritten.pop(ref, None)
        (self._folder / ref).unlink(missing_ok=True)

    def forget_all_but(self, refs: Collection[str]) -> None:
        """Of attempts that somebody else has removed."""
        for path in self._folder.glob("[!.]*"):
            if path.name not in refs:
                self.forget(path.name)

    def _read(self, ref: str) -> _Note | None:
        if ref in self._unwritten:
            return self._unwritten[ref]
        try:
            raw = json.loads((self._folder / ref).read_text())
            since = None if raw["since"] is None else float(raw["since"])
            note = _Note(str(raw["boot"]), float(raw["started"]), float(raw["latest"]), float(raw["frozen"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return note if note.boot == self._boot else None

    def _write(self, ref: str, note: _Note) -> None:
        """A full disk ends no job: what cannot be written is known as long as this process lives."""
        draft = self._folder / f".{ref}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(note)))
            os.replace(draft, self._folder / ref)
        except OSError as problem:
            log.warning("the time of attempt %s is not on disk: %s", ref[:12], problem)
            self._unwritten[ref] = note
        else:
            self._unwritten.pop(ref, None)
