"""Image archives from the artifact store are strangers' files: look before the engine loads one.

An archive may hold several images, and tags that would move ours (`heldout/job`) to somebody else's program.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from heldout.market.sandbox.errors import ImageRefused

_INDEX_BYTES = 1 << 20
_TAG_NOTES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def check_archive(archive: Path, image: str, max_bytes: int) -> None:
    """Raises ImageRefused unless `archive` holds exactly the image with that id, without tags, within `max_bytes`."""
    if archive.stat().st_size > max_bytes:
        raise ImageRefused(f"the image archive has {archive.stat().st_size} bytes, this node takes {max_bytes}")
    try:
        with tarfile.open(archive, "r:") as tar:
            manifest = _member(tar, "manifest.json")
            index = _member(tar, "index.json")
    except (tarfile.TarError, ValueError) as error:
        raise ImageRefused(f"not an image archive: {error}", hint="make it with `docker save`") from None
    if not isinstance(manifest, list) or len(manifest) != 1 or not isinstance(manifest[0], dict):
        raise ImageRefused("the archive does not hold exactly one image")
    if image.removeprefix("sha256:") not in str(manifest[0].get("Config", "")):
        raise ImageRefused(f"the archive does not hold {image}", hint="ask the requester for the archive of this image")
    if manifest[0].get("RepoTags") or any(note in json.dumps(index) for note in _TAG_NOTES):
        raise ImageRefused("the archive carries tags", hint="save the image by id, not by name")


def _member(tar: tarfile.TarFile, name: str) -> Any:
    """The parsed JSON member, or None if there is none. Reads at most `_INDEX_BYTES`."""
    try:
        found = tar.getmember(name)
    except KeyError:
        return None
    file = tar.extractfile(found) if found.isreg() and found.size <= _INDEX_BYTES else None
    if file is None:
        raise ValueError(f"{name} is not a small file")
    return json.load(file)
