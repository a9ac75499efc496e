"""Artifacts: bytes named by their SHA-256, never by a URL (P8). A store is trusted with nothing but keeping.

ArtifactStore        put, size, has, open, get, fetch; whatever is read whole is checked against its name
├── DiskStore        a folder, with a quota
├── HttpStore        another machine's `heldout store serve`
├── S3Store          a bucket                                            (market/artifacts/s3.py)
└── Stores           several of them: put to all, get from the first that has it
"""

from typing import TYPE_CHECKING, Any

from heldout.market.artifacts.blob import ArtifactId, ArtifactStore, artifact_id, parse_id
from heldout.market.artifacts.disk import DiskStore

if TYPE_CHECKING:
    from heldout.market.artifacts.http import HttpStore
    from heldout.market.artifacts.several import Stores

__all__ = ["ArtifactId", "ArtifactStore", "DiskStore", "HttpStore", "Stores", "artifact_id", "parse_id"]


def __getattr__(name: str) -> Any:
    """Stores that speak HTTP are imported on use: `heldout store --help` does without a client."""
    if name == "HttpStore":
        from heldout.market.artifacts.http import HttpStore

        return HttpStore
    if name == "Stores":
        from heldout.market.artifacts.several import Stores

        return Stores
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
