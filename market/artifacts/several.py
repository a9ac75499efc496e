"""Several stores as one: the network file lists them, and any of them may be down, slow, lying or gone."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from heldout.market.artifacts.blob import FILE_LIMIT, MEMORY_LIMIT, ArtifactId, ArtifactStore, Source, missing
from heldout.market.artifacts.http import HttpStore
from heldout.market.errors import BadInput, HeldoutError, StoreProblem
from heldout.market.signatures import Signer

T = TypeVar("T")


class Stores(ArtifactStore):
    """Tries each in order. A read moves on from a store that fails, is empty, or sends other bytes."""

    def __init__(self, stores: Sequence[ArtifactStore]) -> None:
        self.name = "any store"
        self._stores = tuple(stores)

    @staticmethod
    def of(urls: Sequence[str], account: Signer | None = None) -> "Stores":
        """The stores of a network file: `http(s)://…` or `s3://bucket/prefix`; `account` signs uploads."""
        return Stores([_open_store(url, account) for url in urls])

    def put(self, source: Source) -> ArtifactId:
        """To every store that can be reached. Raises the last one's error if none could be."""
        failures: list[HeldoutError] = []
        kept: ArtifactId | None = None
        for store in self._stores:
            try:
                kept = store.put(source)
            except HeldoutError as problem:
                failures.append(problem)
        if kept is None:
            raise failures[-1] if failures else StoreProblem("the network file lists no store")
        return kept

    def size(self, artifact: ArtifactId) -> int | None:
        """None only if every store says so. Raises StoreProblem if some did not answer and none has it."""
        failure: StoreProblem | None = None
        for store in self._stores:
            try:
                size = store.size(artifact)
            except StoreProblem as problem:
                failure = problem
            else:
                if size is not None:
                    return size
        if failure:
            raise failure
        return None

    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """From the first store that begins to answer."""
        for store in self._stores:
            try:
                if store.has(artifact):
                    return store.open(artifact, start, end)
            except StoreProblem:
                continue
        raise missing(artifact, self.name)

    def get(self, artifact: ArtifactId, limit: int = MEMORY_LIMIT) -> bytes:
        return self._first(artifact, lambda store: store.get(artifact, limit))

    def fetch(self, artifact: ArtifactId, path: Path, limit: int = FILE_LIMIT) -> None:
        self._first(artifact, lambda store: store.fetch(artifact, path, limit))

    def drop_pin(self, artifact: ArtifactId) -> bool:
        """From every store that can be reached. Raises StoreProblem if some could not be."""
        failure: StoreProblem | None = None
        dropped = False
        for store in self._stores:
            try:
                dropped |= store.drop_pin(artifact)
            except StoreProblem as problem:
                failure = problem
        if failure:
            raise failure
        return dropped

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _first(self, artifact: ArtifactId, read: Callable[[ArtifactStore], T]) -> T:
        failures = []
        for store in self._stores:
            try:
                return read(store)
            except StoreProblem as problem:
                failures.append(problem)
        telling = [failure for failure in failures if failure.code != "artifact_missing"]
        raise (telling or failures or [missing(artifact, self.name)])[0]


def _open_store(url: str, account: Signer | None) -> ArtifactStore:
    scheme = url.partition("://")[0]
    if scheme == "s3":
        from heldout.market.artifacts.s3 import open_bucket

        return open_bucket(url, Path(tempfile.gettempdir()))
    if scheme in ("http", "https"):
        return HttpStore(url, account)
    raise BadInput(f"{url!r} is not the address of a store", hint="stores are http(s)://… or s3://bucket/prefix")
