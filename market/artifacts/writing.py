"""Hashing and writing a file behind the back of whoever receives its bytes."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from io import FileIO
from typing import Final

BATCH: Final = 1 << 20
"""Bytes handed over at once: one batch is gathered while the one before is written, so a file takes twice as much."""
FLUSH: Final = 1 << 25


class Writer:
    """For one receiver, which adds pieces and hands them over as soon as they are a batch.

    Everything here may raise OSError, that of an earlier batch included.
    """

    def __init__(self, file: FileIO) -> None:
        self._file, self._digest = file, sha256()
        self._thread = ThreadPoolExecutor(1, "writer")
        self._pieces: list[bytes] = []
        self._gathered = self._written = self._flushed = 0
        self._last: Future[None] | None = None

    def add(self, piece: bytes) -> bool:
        """True if it is time to hand over. Does not wait."""
        self._pieces.append(piece)
        self._gathered += len(piece)
        return self._gathered >= BATCH

    def hand_over(self) -> None:
        """Waits for the batch before to be written."""
        self._await()
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        self._last = self._thread.submit(self._write, pieces)

    def digest(self) -> str:
        """SHA-256 in hexadecimal digits, once all is written."""
        self.hand_over()
        self._await()
        return self._digest.hexdigest()

    def sync(self) -> None:
        """Until what is written survives a loss of power."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Waits for the batch that is being written, and gives up the rest."""
        self._thread.shutdown()
        self._file.close()

    def _await(self) -> None:
        if self._last is not None:
            self._last.result()

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._digest.update(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._written += len(piece)
        if self._written - self._flushed >= FLUSH and hasattr(os, "posix_fadvise"):  # not on macOS
            # Linux begins to write back dirty pages that it is advised to drop, so that `sync` finds little left.
            os.posix_fadvise(self._file.fileno(), self._flushed, self._written - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = self._written
