"""What every store of artifacts can do, and the check that makes it not matter which one did it."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NewType

from heldout.market.artifacts.writing import Writer
from heldout.market.errors import BadInput, HashMismatch, StoreProblem

ArtifactId = NewType("ArtifactId", str)
"""64 lower-case hex digits: the SHA-256 of the bytes, and all that a request can say about where they lie."""
Source = bytes | Path
"""Bytes to be stored, or a file that holds them."""

CHUNK: Final = 1 << 18
MEMORY_LIMIT: Final = 1 << 28
"""Most bytes that `get` takes unless it is told otherwise; larger artifacts are for `fetch`."""
FILE_LIMIT: Final = 1 << 34
_ID = re.compile(r"[0-9a-f]{64}")


def artifact_id(digest: bytes) -> ArtifactId:
    """The id of an artifact whose SHA-256 is in the terms, a manifest or a leaf."""
    return parse_id(digest.hex())


def parse_id(text: str) -> ArtifactId:
    """Raises BadInput for anything but 64 lower-case hex digits, so that no id can name a path."""
    if not _ID.fullmatch(text):
        raise BadInput("an artifact id has 64 lower-case hex digits", code="bad_artifact_id")
    return ArtifactId(text)


def chunks(source: Source) -> Iterator[bytes]:
    """The source in pieces of at most CHUNK bytes."""
    if isinstance(source, bytes):
        yield from (source[start : start + CHUNK] for start in range(0, len(source), CHUNK))
        return
    with source.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def identify(source: Source) -> tuple[ArtifactId, int]:
    """The id and the size of a source."""
    digest, size = sha256(), 0
    for piece in chunks(source):
        digest.update(piece)
        size += len(piece)
    return ArtifactId(digest.hexdigest()), size


class ArtifactStore(ABC):
    """Errors: StoreProblem `artifact_missing` (retryable: it may yet arrive), `artifact_too_large`, `store_full`,
    `store_unavailable`; HashMismatch for bytes that are not what their id says."""

    name: str
    """For people and logs."""

    @abstractmethod
    def put(self, source: Source) -> ArtifactId:
        """Keep the bytes. Once this returns they survive a loss of power."""

    @abstractmethod
    def size(self, artifact: ArtifactId) -> int | None:
        """Bytes of an artifact; None if it is not here."""

    @abstractmethod
    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes start to end (exclusive) in pieces, unchecked: for ranges. Raises StoreProblem if it is not here."""

    def has(self, artifact: ArtifactId) -> bool:
        return self.size(artifact) is not None

    def get(self, artifact: ArtifactId, limit: int = MEMORY_LIMIT) -> bytes:
        """All bytes, checked."""
        data = b"".join(self._limited(artifact, limit))
        self._check(artifact, sha256(data).hexdigest())
        return data

    def fetch(self, artifact: ArtifactId, path: Path, limit: int = FILE_LIMIT) -> None:
        """All bytes into a file that appears at `path` only once they are checked and on the disk."""
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with closing(Writer(part.open("wb", buffering=0))) as writer:
                for piece in self._limited(artifact, limit):
                    if writer.add(piece):
                        writer.hand_over()
                self._check(artifact, writer.digest())
                writer.sync()
            part.replace(path)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()

    def drop_pin(self, artifact: ArtifactId) -> bool:
        """Need an artifact no longer; False if it was not kept for us, as in a store without accounts."""
        return False

    def close(self) -> None:  # noqa: B027  (a store without connections has nothing to give up)
        """Give up connections."""

    def _limited(self, artifact: ArtifactId, limit: int) -> Iterator[bytes]:
        size = 0
        for piece in self.open(parse_id(artifact)):
            size += len(piece)
            if size > limit:
                raise too_large(artifact, limit)
            yield piece

    def _check(self, artifact: ArtifactId, digest: str) -> None:
        if digest != artifact:
            raise HashMismatch(
                f"{self.name} sent other bytes for {artifact}", hint="another store may have the right ones"
            )


def missing(artifact: str, where: str) -> StoreProblem:
    return StoreProblem(
        f"{where} does not have {artifact}", hint="its owner may not have uploaded it yet", code="artifact_missing"
    )


def too_large(what: str, limit: int) -> StoreProblem:
    return StoreProblem(f"{what} has more than {limit} bytes", code="artifact_too_large")
