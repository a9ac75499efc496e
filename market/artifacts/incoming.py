"""One artifact on its way in: hashed and limited while it is written, seen by nobody before it is whole."""

import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from heldout.market.artifacts.blob import ArtifactId, ArtifactStore, too_large
from heldout.market.artifacts.writing import Writer
from heldout.market.errors import HashMismatch, HeldoutError, StoreProblem

Keep = Callable[[Path, ArtifactId], None]
"""Takes a finished file over, under its id."""
Charge = Callable[[int], None]
"""Counts bytes against a quota, or gives them back if negative. Raises StoreProblem `store_full`."""


class Incoming:
    """A context: leaving it without `finish` removes every trace.

    with store.receive() as incoming:
        incoming.write(piece)
        artifact = incoming.finish()
    """

    def __init__(self, folder: Path, limit: int, keep: Keep, charge: Charge) -> None:
        self._path = folder / f"{secrets.token_hex(16)}.part"
        self._writer = Writer(self._path.open("xb", buffering=0))
        self._limit, self._keep, self._charge = limit, keep, charge
        self._size = 0
        self._kept = False

    def add(self, piece: bytes) -> bool:
        """True if it is time to hand over. Does not wait.

        Raises StoreProblem `artifact_too_large` or `store_full` before the piece reaches the disk.
        """
        if self._size + len(piece) > self._limit:
            raise too_large("an artifact", self._limit)
        self._charge(len(piece))
        self._size += len(piece)
        return self._writer.add(piece)

    def hand_over(self) -> None:
        """Let what was added be hashed and written; waits for what was handed over before. Raises StoreProblem."""
        with _written():
            self._writer.hand_over()

    def write(self, piece: bytes) -> None:
        """Add, and hand over if it is time."""
        if self.add(piece):
            self.hand_over()

    def finish(self, expected: ArtifactId | None = None) -> ArtifactId:
        """Bring the bytes to the disk and pass the file on. Raises HashMismatch if they are not `expected`."""
        with _written():
            artifact = ArtifactId(self._writer.digest())
            if expected is not None and artifact != expected:
                hint = "send them under their own SHA-256"
                raise HashMismatch(f"these bytes are {artifact}, not {expected}", hint=hint)
            self._writer.sync()
        self._keep(self._path, artifact)
        self._kept = True
        return artifact

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the batch that is being written."""
        self._writer.close()
        if not self._kept:
            self._path.unlink(missing_ok=True)
            self._charge(-self._size)


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StoreProblem(f"cannot write: {problem.strerror}", hint="free some space", code="store_full") from None


class Vault(ArtifactStore):
    """The store behind the server: it can also take an artifact in piece by piece, list what it has, and remove it."""

    max_blob: int

    @abstractmethod
    def receive(self, announced: int = 0) -> Incoming:
        """A place for one artifact of at most `max_blob` bytes."""

    @abstractmethod
    def ids(self) -> Iterator[tuple[ArtifactId, int]]:
        """Everything that is here, with its size."""

    @abstractmethod
    def remove(self, artifact: ArtifactId) -> None:
        """For good."""


def refuse_full(quota: int) -> HeldoutError:
    return StoreProblem(f"the store's quota of {quota} bytes is used up", hint="use another store", code="store_full")
