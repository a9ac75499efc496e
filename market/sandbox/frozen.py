"""How long each attempt stood still: kept on disk, since an engine does not say and a node may die in between.

<state>/frozen/<ref>    {"total": seconds, "since": Unix seconds, or null while it runs}

Time an attempt was frozen does not count against its own `limits.seconds`. The job's deadline does not wait for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Frozen:
    """How long an attempt stood still in all, in seconds, and whether it does now."""

    total_s: float = 0.0
    now: bool = False


class FrozenTime:
    """Of one node's attempts, by `ref`. `clock` is Unix time."""

    def __init__(self, state: Path, clock: Callable[[], float]) -> None:
        self._folder = state / "frozen"
        self._clock = clock

    def begin(self, ref: str) -> None:
        """Noted before the attempt is frozen, so that no crash loses it."""
        total, since = self._read(ref)
        if since is None:
            self._write(ref, total, self._clock())

    def end(self, ref: str, *, stood_still: bool = True) -> None:
        """Unless it `stood_still` the begin counts for nothing: the node died before it could freeze anything."""
        total, since = self._read(ref)
        if since is not None:
            self._write(ref, total + (max(0.0, self._clock() - since) if stood_still else 0.0), None)

    def of(self, ref: str) -> Frozen:
        """With the time of a freeze that has not ended."""
        total, since = self._read(ref)
        return Frozen(total) if since is None else Frozen(total + max(0.0, self._clock() - since), True)

    def forget(self, ref: str) -> None:
        self._path(ref).unlink(missing_ok=True)

    def _path(self, ref: str) -> Path:
        return self._folder / ref

    def _read(self, ref: str) -> tuple[float, float | None]:
        try:
            raw = json.loads(self._path(ref).read_text())
            return float(raw["total"]), None if raw["since"] is None else float(raw["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0, None

    def _write(self, ref: str, total: float, since: float | None) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{ref}"
        draft.write_text(json.dumps({"total": total, "since": since}))
        os.replace(draft, self._path(ref))
