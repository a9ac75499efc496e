"""One reader for what an attempt prints: it feeds everybody who follows, keeps the hash, and counts every byte."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import requests.exceptions

from heldout.market.errors import SandboxProblem
from heldout.market.sandbox.logs import LineCutter

_TICK_S = (0.01, 0.1)  # shortest and longest pause between two looks for new lines


class LogPump:
    """Reads an engine's log stream in a thread of its own, as long as the attempt lives.

    A job may print for ever: lines are kept up to `logs.LOG_BYTES`, `bytes_seen` goes on to be counted, so that the
    runner can end a flood. The stream is opened there too: Podman answers only once there is something to tell.
    """

    def __init__(self, name: str, open_stream: Callable[[], Any]) -> None:
        self._open_stream = open_stream
        self._stream: Any = None
        self._lines: list[str] = []
        self._digest = hashlib.sha256()
        self._done = threading.Event()
        self.bytes_seen = 0
        # Not a pool thread: it lives as long as the job and would starve the pool.
        self._thread = threading.Thread(target=self._run, name=f"log {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        cutter = LineCutter()
        # An engine that goes away ends the log, not the job: `wait` tells what became of that.
        with contextlib.suppress(
            requests.exceptions.RequestException, OSError, ValueError, AttributeError, SandboxProblem
        ):
            self._stream = self._open_stream()
            for chunk in self._stream:
                self.bytes_seen += len(chunk)
                self._keep(cutter.feed(chunk))
        self._keep(cutter.end())
        self._done.set()

    def _keep(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._digest.update(line.encode() + b"\n")
            self._lines.append(line)

    async def lines(self) -> AsyncIterator[str]:
        """From the first line kept, until the job ends."""
        told, pause = 0, _TICK_S[0]
        while True:
            over = self._done.is_set()
            ready = self._lines[told:]
            for line in ready:
                yield line
            told += len(ready)
            if over:
                return
            pause = _TICK_S[0] if ready else min(2 * pause, _TICK_S[1])
            await asyncio.sleep(pause)

    def hash(self, timeout_s: float) -> bytes:
        """SHA-256 over the lines kept, once the stream has ended, or as far as it came in `timeout_s`."""
        self._done.wait(timeout_s)
        return self._digest.digest()

    @property
    def over(self) -> bool:
        return self._done.is_set()

    def close(self) -> None:
        """Ends a reader whose attempt is gone."""
        if self._stream is not None:
            self._stream.close()
