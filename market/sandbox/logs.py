"""What a job prints, made safe to show and to store: bounded lines, bounded total, no control characters.

A hostile job prints 200 MiB, one endless line, or escape sequences that repaint a terminal. Both backends pass their
bytes through one `LineCutter`, so the same output gives the same lines and the same hash everywhere.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

LOG_BYTES = 1 << 20
LINE_BYTES = 4096


class LineCutter:
    """Turns chunks of bytes into clean lines. Longer lines are cut; after `LOG_BYTES` of output nothing more comes."""

    def __init__(self, total_bytes: int = LOG_BYTES, line_bytes: int = LINE_BYTES) -> None:
        self._left = total_bytes
        self._line_bytes = line_bytes
        self._line = bytearray()
        self.full = False

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        if self.full:
            return []
        chunk = chunk[: self._left]
        self._left -= len(chunk)
        *complete, rest = chunk.split(b"\n")
        lines = []
        for part in complete:
            self._extend(part)
            lines.append(self._take())
        self._extend(rest)
        if self._left == 0:
            self.full = True
            lines += [*self.end(), "[the rest of the log is not kept]"]
        return lines

    def end(self) -> list[str]:
        """The last line, if it had no newline."""
        return [self._take()] if self._line else []

    def _extend(self, part: bytes) -> None:
        self._line += part[: self._line_bytes - len(self._line)]

    def _take(self) -> str:
        line = clean(self._line.decode("utf-8", "replace"))
        self._line.clear()
        return line


def clean(text: str) -> str:
    """`text` without control, format, surrogate and private-use characters (Unicode category C); tabs become spaces."""
    return "".join(c for c in text.replace("\t", " ") if unicodedata.category(c)[0] != "C")


def log_hash(chunks: Iterable[bytes]) -> bytes:
    """SHA-256 over the clean lines of a whole log, each ended by a newline."""
    cutter, digest = LineCutter(), hashlib.sha256()
    for chunk in chunks:
        for line in cutter.feed(chunk):
            digest.update(line.encode() + b"\n")
    for line in cutter.end():
        digest.update(line.encode() + b"\n")
    return digest.digest()
