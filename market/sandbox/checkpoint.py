"""A job's /out/checkpoint as one archive: taken while the job stands still, and laid into an empty /out.

A job may write anything there, and change it while it is read. Only folders and regular files are taken, unfollowed,
bounded in bytes, number and depth; anything else refuses the whole checkpoint, so that what is kept is what was there.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from heldout.market.sandbox.collector import TarStream
from heldout.market.sandbox.errors import OutputRefused

CHECKPOINT = "checkpoint"
MOST_FILES = 1024
MOST_DEPTH = 16
_HEADERS = 4096 * MOST_FILES
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Member = tuple[tarfile.TarInfo, IO[bytes] | None]


def pack(out: Path, target: Path, most_bytes: int) -> bool:
    """Write `out`/checkpoint to `target`; False if the job has left none yet. Raises OutputRefused."""
    root = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return _write(_walk(root, CHECKPOINT, CHECKPOINT, MOST_DEPTH), target, most_bytes)
    finally:
        os.close(root)


def pack_stream(chunks: Iterable[bytes], target: Path, most_bytes: int) -> bool:
    """As `pack`, from an engine's tar stream of that folder."""
    try:
        with tarfile.open(fileobj=TarStream(chunks, most_bytes + _HEADERS), mode="r|") as tar:  # type: ignore[call-overload]
            return _write(((_bare(each), tar.extractfile(each)) for each in tar), target, most_bytes)
    except tarfile.TarError as error:
        raise OutputRefused(f"the engine gave no readable checkpoint: {error}") from None


def lay(archive: Path, out: Path, owner: tuple[int, int] | None = None) -> None:
    """Put an archive into `out`, in which nothing runs, unless a checkpoint lies there: all of it or none.

    Raises OutputRefused for what `pack` would not write."""
    if os.path.lexists(out / CHECKPOINT):
        return
    draft = Path(tempfile.mkdtemp(prefix=".laying-", dir=out))
    try:
        _unpack(archive, draft, owner)
        (draft / CHECKPOINT).rename(out / CHECKPOINT)
    except (OSError, tarfile.TarError) as error:
        raise OutputRefused(f"the checkpoint cannot be laid into /out: {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(archive: Path, folder: Path, owner: tuple[int, int] | None) -> None:
    """Into a new folder, where no name leads anywhere else."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = folder / _safe(member)
            if member.isdir():
                path.mkdir(mode=0o755)
            else:
                source = tar.extractfile(member)
                assert source is not None
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                    while piece := source.read(1 << 20):
                        file.write(piece)
            if owner:
                os.chown(path, *owner, follow_symlinks=False)


def owned(archive: Path, uid: int) -> Iterator[bytes]:
    """The archive as an engine takes it, everything in it of `uid`: the bytes of a tar."""
    with tarfile.open(archive) as tar:
        for member in tar:
            _safe(member)
            member.uid = member.gid = uid
            yield member.tobuf(tarfile.GNU_FORMAT)
            if (file := tar.extractfile(member)) is not None:
                yield file.read().ljust(-(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, b"\0")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(parent: int, name: str, path: str, depth: int) -> Iterator[Member]:
    """A folder and what is below it, by descriptors, so that a name that is exchanged leads nowhere else."""
    if depth == 0:
        raise OutputRefused(f"the checkpoint is more than {MOST_DEPTH} folders deep")
    try:
        folder = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputRefused(f"{path} is no folder: {error.strerror}") from None
    try:
        yield _info(path, is_folder=True, size=0, mtime=os.fstat(folder).st_mtime), None
        for each in sorted(os.listdir(folder)):
            yield from _entry(folder, each, f"{path}/{each}", depth)
    finally:
        os.close(folder)


def _entry(folder: int, name: str, path: str, depth: int) -> Iterator[Member]:
    try:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            yield from _walk(folder, name, path, depth - 1)
            return
        if not stat.S_ISREG(kind):
            raise OutputRefused(f"{path} is neither file nor folder", hint="a checkpoint holds nothing else")
        source = os.open(name, _FLAGS, dir_fd=folder)
    except FileNotFoundError:  # the job could not be made to stand still
        return
    except OSError as error:
        raise OutputRefused(f"{path} cannot be read: {error.strerror}") from None
    with open(source, "rb") as file:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise OutputRefused(f"{path} is no regular file")
        yield _info(path, is_folder=False, size=found.st_size, mtime=found.st_mtime), file


def _info(path: str, *, is_folder: bool, size: int, mtime: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode = (tarfile.DIRTYPE, 0o755) if is_folder else (tarfile.REGTYPE, 0o644)
    info.size, info.mtime = 0 if is_folder else size, int(mtime)
    return info


def _bare(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Name, kind, size and time, as `_info` has them; refuses what is neither file nor folder."""
    return _info(str(_safe(member)), is_folder=member.isdir(), size=member.size, mtime=member.mtime)


def _safe(member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    inside = path.parts[:1] == (CHECKPOINT,) and ".." not in path.parts and len(path.parts) <= MOST_DEPTH + 1
    if not inside or not (member.isreg() or member.isdir()):
        raise OutputRefused(f"{member.name} has no place in a checkpoint", hint="it holds files and folders only")
    return path


def _write(members: Iterable[Member], target: Path, most_bytes: int) -> bool:
    """Whole or not at all under its name."""
    draft, left, count = target.with_name(f".{target.name}.part"), most_bytes, 0
    try:
        with tarfile.open(draft, "w", format=tarfile.GNU_FORMAT) as tar:
            for info, file in members:
                left, count = left - info.size, count + 1
                if left < 0 or count > MOST_FILES:
                    hint = f"at most {MOST_FILES} files and {most_bytes >> 20} MiB are kept outside this machine"
                    raise OutputRefused("the checkpoint is too large", hint=hint)
                tar.addfile(info, file)
        if count:
            draft.replace(target)
        return count > 0
    except (OSError, tarfile.TarError) as error:  # a file shrank while it was read
        raise OutputRefused(f"the checkpoint cannot be taken: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
