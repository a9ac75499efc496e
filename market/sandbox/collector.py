"""Taking one file out of what a stranger left: by its agreed name, unfollowed, bounded, hashed, never unpacked."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO

from heldout.market.sandbox.errors import OutputRefused

_COPY_BYTES = 1 << 20
_HEADERS = 1 << 16


class TarStream:
    """Chunks as the file that `tarfile` wants. It ends after `most` bytes: what a job made sparse may be endless."""

    def __init__(self, chunks: Iterable[bytes], most: int) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self._left = most

    def read(self, count: int) -> bytes:
        while len(self._rest) < count and self._left > 0 and (chunk := next(self._chunks, b"")):
            self._rest += chunk
            self._left -= len(chunk)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


def copy_out(folder: Path, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
    """Copy the regular file `name` of `folder` to `target`; returns (SHA-256 of the copy, size).

    The job chose what lies under that name: a link, a pipe, a device, a sparse terabyte. Nothing is followed, nothing
    blocks, nothing above `max_bytes` is read. Raises OutputRefused.
    """
    source = _open_regular(folder, name)
    with os.fdopen(source, "rb") as file:
        _refuse_big(name, os.fstat(source).st_size, max_bytes)
        return _copy(file, name, target, max_bytes)


def copy_out_of_stream(chunks: Iterable[bytes], name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
    """As `copy_out`, from an engine's tar stream of that one file: its only member must be it. Nothing is extracted."""
    try:
        with tarfile.open(fileobj=TarStream(chunks, max_bytes + _HEADERS), mode="r|") as tar:  # type: ignore[call-overload]
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isreg() and member.name == name else None
            if member is None or file is None:
                raise OutputRefused(f"{name} is not a regular file", hint="the job must write it itself, not link it")
            _refuse_big(name, member.size, max_bytes)
            return _copy(file, name, target, max_bytes)
    except tarfile.TarError as error:
        raise OutputRefused(f"the engine gave no readable {name}: {error}") from None


def _refuse_big(name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise OutputRefused(f"{name} has {size} bytes, the job allows {max_bytes}")


def _open_regular(folder: Path, name: str) -> int:
    """A descriptor of `folder/name`, opened without following or waiting for anything."""
    if name in ("", ".", "..") or "/" in name:
        raise OutputRefused(f"{name!r} is not a plain file name")
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
    except OSError as error:
        raise OutputRefused(f"the job left no readable {name}: {error.strerror}", hint="see its log") from None
    finally:
        os.close(root)
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise OutputRefused(f"{name} is not a regular file", hint="the job must write it itself, not link it")
    return source


def _copy(file: BinaryIO | IO[bytes], name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
    """Leaves no copy of what it refuses."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("wb") as copy:
        while chunk := file.read(_COPY_BYTES):
            size += len(chunk)
            if size > max_bytes:
                target.unlink()
                raise OutputRefused(f"{name} grew past {max_bytes} bytes while it was read")
            digest.update(chunk)
            copy.write(chunk)
    return digest.digest(), size
