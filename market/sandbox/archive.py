"""Image archives from the artifact store are strangers' files: look before the engine loads one.

An archive may hold several images, and tags that would move ours (`heldout/job`) to somebody else's program.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from heldout.market.sandbox.errors import ImageRefused

_INDEX_BYTES = 1 << 20
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
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
    _check_unpacked(archive, max_bytes)
    if image.removeprefix("sha256:") not in str(manifest[0].get("Config", "")):
        raise ImageRefused(f"the archive does not hold {image}", hint="ask the requester for the archive of this image")
    if manifest[0].get("RepoTags") or any(note in json.dumps(index) for note in _TAG_NOTES):
        raise ImageRefused("the archive carries tags", hint="save the image by id, not by name")


def _check_unpacked(archive: Path, max_bytes: int) -> None:
    """Raises ImageRefused if the layers become more than `max_bytes`. Compressed ones are unpacked to be counted, and
    what they unpack to is kept nowhere."""
    total = 0
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is None:
                continue
            magic = file.read(4)
            file.seek(0)
            if magic == _ZSTD:
                raise ImageRefused("a layer is packed with zstd, whose size cannot be told", hint="save it unpacked")
            total += _unpacked(file, max_bytes - total) if magic[:2] == _GZIP else member.size
            if total > max_bytes:
                raise ImageRefused(f"the image unpacks to more than {max_bytes} bytes, which is what this node takes")


def _unpacked(file: IO[bytes], enough: int) -> int:
    """Bytes that a gzip stream becomes, counted no further than just beyond `enough`."""
    total, inflate = 0, zlib.decompressobj(wbits=31)
    while total <= enough and (chunk := file.read(_CHUNK)):
        while chunk and total <= enough:
            total += len(inflate.decompress(chunk, _CHUNK))
            chunk = inflate.unconsumed_tail
    return total


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
