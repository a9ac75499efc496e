"""The job's /out: a place of exact size that outlives attempts, and the only thing a node ever reads back.

    <state>/disks/<job>.img    an ext4 file system in a file: its size and inode count are the quota, exact to a block
    <state>/out/<job>/         where it is mounted (nodev, nosuid, noexec); bound to /out in the container
    <state>/collected/<job>/   private copies of what was taken out

Mounting needs root. Without it `FolderDisks` keeps plain folders, and the runner watches their size instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from heldout.market.sandbox.errors import OutputRefused, SandboxUnavailable

JOB_UID = 65532
_COPY_BYTES = 1 << 20
_TOOL_TIMEOUT_S = 60.0


class Disks(Protocol):
    """One /out per job."""

    exact: bool

    def open(self, job: str, size: int, files: int) -> Path:
        """The job's /out, writable, with what earlier attempts left in it."""

    def seal(self, job: str) -> Path:
        """The job's /out, with writing ended, so that what is hashed is what was read. Raises OutputRefused."""

    def used(self, job: str) -> int:
        """Bytes that lie in /out."""

    def known(self) -> set[str]:
        """Jobs that have one."""

    def remove(self, job: str) -> None:
        """Unmount and delete. Idempotent."""


def disks_for(state: Path) -> Disks:
    """Exact quotas where this process may mount, plain folders elsewhere."""
    may_mount = os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4")
    return LoopDisks(state) if may_mount else FolderDisks(state)


class LoopDisks:
    exact = True

    def __init__(self, state: Path) -> None:
        self._images = state / "disks"
        self._mounts = state / "out"

    def open(self, job: str, size: int, files: int) -> Path:
        image, mount = self._images / f"{job}.img", self._mounts / job
        for folder in (self._images, mount):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if mount.is_mount():
            _tool("mount", "-o", "remount,rw", str(mount))
            return mount
        if not (image.exists() and _sound(image)):
            self._make(image, size, files)
        _tool("mount", "-o", "loop,nodev,nosuid,noexec", str(image), str(mount))
        with contextlib.suppress(OSError):  # made by mkfs and by fsck; /out begins empty
            (mount / "lost+found").rmdir()
        return mount

    def seal(self, job: str) -> Path:
        mount = self._mounts / job
        if not mount.is_mount():
            raise OutputRefused(f"the disk of {job} is not there", hint="the job has to run again")
        _tool("mount", "-o", "remount,ro", str(mount))
        return mount

    def used(self, job: str) -> int:
        mount = self._mounts / job
        if not mount.is_mount():
            return 0
        whole = os.statvfs(mount)
        return (whole.f_blocks - whole.f_bfree) * whole.f_frsize

    def known(self) -> set[str]:
        images = {path.name.removesuffix(".new").removesuffix(".img") for path in _children(self._images)}
        return images | {path.name for path in _children(self._mounts)}

    def remove(self, job: str) -> None:
        mount = self._mounts / job
        if mount.is_mount():
            _tool("umount", str(mount))
        if mount.exists():
            mount.rmdir()
        for name in (f"{job}.img", f"{job}.img.new"):
            (self._images / name).unlink(missing_ok=True)

    @staticmethod
    def _make(image: Path, size: int, files: int) -> None:
        """Written beside and renamed, so that a crash leaves no half-made file system under the real name."""
        draft = image.with_name(f"{image.name}.new")
        with draft.open("wb") as file:
            file.truncate(size)
        owner = f"root_owner={JOB_UID}:{JOB_UID}"
        _tool("mkfs.ext4", "-q", "-m0", "-O", "^has_journal", "-N", str(files), "-E", owner, str(draft))
        draft.rename(image)


class FolderDisks:
    exact = False

    def __init__(self, state: Path) -> None:
        self._folders = state / "out"

    def open(self, job: str, size: int, files: int) -> Path:
        folder = self._folders / job
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def seal(self, job: str) -> Path:
        folder = self._folders / job
        if not folder.is_dir():
            raise OutputRefused(f"the output folder of {job} is not there", hint="the job has to run again")
        return folder

    def used(self, job: str) -> int:
        total = 0
        for folder, _, names in os.walk(self._folders / job):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:  # the job is still at work
                    continue
        return total

    def known(self) -> set[str]:
        return {path.name for path in _children(self._folders)}

    def remove(self, job: str) -> None:
        folder = self._folders / job
        for path, names, _ in os.walk(folder):
            for name in names:
                inner = os.path.join(path, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)  # a job may have shut its own folders
        shutil.rmtree(folder, ignore_errors=True)


def copy_out(folder: Path, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
    """Copy the regular file `name` of `folder` to `target`; returns (SHA-256 of the copy, size).

    The job chose what lies under that name: a link, a pipe, a device, a sparse terabyte. Nothing is followed, nothing
    blocks, nothing above `max_bytes` is read. Raises OutputRefused.
    """
    source = _open_regular(folder, name)
    with os.fdopen(source, "rb") as file:
        size = os.fstat(source).st_size
        if size > max_bytes:
            raise OutputRefused(f"{name} has {size} bytes, the job allows {max_bytes}")
        try:
            return _copy(file, name, target, max_bytes)
        except OutputRefused:
            target.unlink()
            raise


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


def _copy(file: BinaryIO, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("wb") as copy:
        while chunk := file.read(_COPY_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise OutputRefused(f"{name} grew past {max_bytes} bytes while it was read")
            digest.update(chunk)
            copy.write(chunk)
    return digest.digest(), size


def _children(folder: Path) -> Iterator[Path]:
    return iter(folder.iterdir()) if folder.is_dir() else iter(())


def _sound(image: Path) -> bool:
    """Whether the file system is whole, or could be made so after a crash (e2fsck: 0 clean, 1 mended)."""
    done = subprocess.run(["e2fsck", "-fp", str(image)], capture_output=True, timeout=_TOOL_TIMEOUT_S, check=False)
    return done.returncode <= 1


def _tool(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False)
    if done.returncode:
        raise SandboxUnavailable(f"{command[0]} failed: {done.stderr.strip()}", hint="the job's disk cannot be used")
