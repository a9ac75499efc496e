"""A store in a bucket (S3 and what speaks its language), through obstore: `pip install heldout[s3]`.

Credentials, region and endpoint come from the usual AWS_* variables, which obstore reads by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.market.artifacts.blob import ArtifactId, Source, identify, missing, parse_id
from heldout.market.artifacts.disk import DEFAULT_MAX_BLOB
from heldout.market.artifacts.incoming import Incoming, Vault
from heldout.market.errors import BadInput, StoreProblem

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RETRIES = 2
_PATIENCE = timedelta(seconds=10)
"""For all tries of one request: another store may be up."""


def open_bucket(url: str, spool: Path) -> "S3Store":
    """`s3://bucket/prefix`. Raises BadInput if obstore is not installed or the address is none."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise BadInput("a store in a bucket needs obstore", hint="pip install 'heldout[s3]'") from None
    try:
        return S3Store(from_url(url, retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE}), url, spool)
    except BaseError as problem:
        raise BadInput(f"{url!r} cannot be opened: {problem}", hint="write s3://bucket/prefix, set AWS_*") from None


class S3Store(Vault):
    """Safe for threads and processes: an object appears whole or not at all. The bucket's owner sets its quota."""

    def __init__(self, bucket: "ObjectStore", name: str, spool: Path, max_blob: int = DEFAULT_MAX_BLOB) -> None:
        self.name = name
        self.max_blob = max_blob
        self._bucket, self._spool = bucket, spool

    def receive(self, announced: int = 0) -> Incoming:
        """A place in the spool folder; the finished file goes to the bucket. `announced` is for stores with a quota."""
        return Incoming(self._spool, self.max_blob, self._keep, lambda size: None)

    def put(self, source: Source) -> ArtifactId:
        artifact, size = identify(source)
        if self.size(artifact) != size:
            self._upload(artifact, source)
        return artifact

    def size(self, artifact: ArtifactId) -> int | None:
        import obstore

        try:
            with self._asked():
                return int(obstore.head(self._bucket, _key(artifact))["size"])
        except FileNotFoundError:
            return None

    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        import obstore

        if end is not None and end <= start:
            return
        span: Any = {"offset": start} if end is None else (start, end)
        options: Any = {"range": span} if start or end is not None else {}
        try:
            with self._asked():
                for piece in obstore.get(self._bucket, _key(artifact), options=options).stream():
                    yield bytes(piece)
        except FileNotFoundError:
            raise missing(artifact, self.name) from None

    def ids(self) -> Iterator[tuple[ArtifactId, int]]:
        """Everything that is here, with its size; other people's objects are passed over."""
        import obstore

        with self._asked():
            for page in obstore.list(self._bucket, prefix="blobs"):
                for found in page:
                    with suppress(BadInput):
                        yield parse_id(str(found["path"]).rpartition("/")[2]), int(found["size"])

    def remove(self, artifact: ArtifactId) -> None:
        """For good."""
        import obstore

        with suppress(FileNotFoundError), self._asked():
            obstore.delete(self._bucket, _key(artifact))

    def _keep(self, part: Path, artifact: ArtifactId) -> None:
        self._upload(artifact, part)
        part.unlink()

    def _upload(self, artifact: ArtifactId, source: Source) -> None:
        import obstore

        with self._asked():
            obstore.put(self._bucket, _key(artifact), source)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as problem:
            raise StoreProblem(f"{self.name} failed: {problem}", hint="retry, or use another store") from None


def _key(artifact: ArtifactId) -> str:
    return f"blobs/{parse_id(artifact)}"
