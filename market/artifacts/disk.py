"""A store in a folder.

FOLDER/.lock               held while the store is open, since the quota is counted in memory
FOLDER/incoming/*.part     being written; swept at start
FOLDER/ab/abcd…            one file for each artifact, under the first two digits of its id
"""

import fcntl
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Self

from heldout.market.artifacts.blob import (
    CHUNK,
    FILE_LIMIT,
    ArtifactId,
    Source,
    chunks,
    missing,
    parse_id,
)
from heldout.market.artifacts.incoming import Incoming, Vault, refuse_full
from heldout.market.durable import sync_folder
from heldout.market.errors import AlreadyRunning, BadInput, HashMismatch

DEFAULT_QUOTA = 20 << 30
DEFAULT_MAX_BLOB = 2 << 30


class DiskStore(Vault):
    """Safe for threads; one process at a time. Raises AlreadyRunning."""

    def __init__(self, folder: Path, *, quota: int = DEFAULT_QUOTA, max_blob: int = DEFAULT_MAX_BLOB) -> None:
        self.name = str(folder)
        self.quota, self.max_blob = quota, max_blob
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._hold = (folder / ".lock").open("w")
        try:
            fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._hold.close()
            raise AlreadyRunning(f"another process holds {folder}", hint="stop it, or use another --dir") from None
        for part in self._incoming.iterdir():
            part.unlink()
        self._moving, self._counting = Lock(), Lock()
        self._used = sum(file.stat().st_size for file in folder.glob("[0-9a-f][0-9a-f]/*"))

    @property
    def used(self) -> int:
        """Bytes kept and on their way in."""
        return self._used

    def receive(self, announced: int = 0) -> Incoming:
        """A place for one artifact of at most `max_blob` bytes.

        Raises StoreProblem `store_full` at once if the `announced` size does not fit.
        """
        if self._used + announced > self.quota:
            raise refuse_full(self.quota)
        return Incoming(self._incoming, self.max_blob, self._keep, self._charge)

    def put(self, source: Source) -> ArtifactId:
        with self.receive() as incoming:
            for piece in chunks(source):
                incoming.write(piece)
            return incoming.finish()

    def size(self, artifact: ArtifactId) -> int | None:
        try:
            return self._path(artifact).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Read whole, a rotten file is removed and reported as HashMismatch, so that another upload heals the store."""
        try:
            file = self._path(artifact).open("rb")
        except FileNotFoundError:
            raise missing(artifact, self.name) from None
        return self._pieces(file, artifact, start, end)

    def _pieces(self, file: BinaryIO, artifact: ArtifactId, start: int, end: int | None) -> Iterator[bytes]:
        """The last piece of a whole file is held back until all are checked: rot never arrives complete anywhere."""
        whole = start == 0 and end is None
        left = FILE_LIMIT if end is None else end - start
        digest, held = sha256(), b""
        with file:
            file.seek(start)
            while piece := file.read(min(CHUNK, left)):
                left -= len(piece)
                digest.update(piece)
                if held:
                    yield held
                held = piece
        if whole and digest.hexdigest() != artifact:
            self._forget(artifact)
            raise HashMismatch(f"{artifact} has rotted on the disk of {self.name}", hint="upload it again")
        if held:
            yield held

    def ids(self) -> Iterator[tuple[ArtifactId, int]]:
        """Everything that is here, with its size."""
        for file in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(BadInput, FileNotFoundError):
                yield parse_id(file.name), file.stat().st_size

    def remove(self, artifact: ArtifactId) -> None:
        """For good. Whoever is reading it reads on."""
        self._forget(parse_id(artifact))

    def close(self) -> None:
        self._hold.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, artifact: ArtifactId) -> Path:
        return self._folder / parse_id(artifact)[:2] / artifact

    def _keep(self, part: Path, artifact: ArtifactId) -> None:
        """Replaces a file of the same id: the new bytes have just been hashed, the old ones may have rotted."""
        path = self._path(artifact)
        path.parent.mkdir(exist_ok=True)
        with self._moving:
            before = self.size(artifact) or 0
            part.replace(path)
        self._charge(-before)
        for folder in (path.parent, self._folder):
            sync_folder(folder)

    def _forget(self, artifact: ArtifactId) -> None:
        with self._moving, suppress(FileNotFoundError):
            path = self._path(artifact)
            size = path.stat().st_size
            path.unlink()
            self._charge(-size)

    def _charge(self, size: int) -> None:
        """Never waits for the disk: the server charges where it serves everybody."""
        with self._counting:
            if size > 0 and self._used + size > self.quota:
                raise refuse_full(self.quota)
            self._used += size
