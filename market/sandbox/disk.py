"""The job's /out: a place of exact size that outlives attempts, and the only thing a node ever reads back.

LoopDisks     root        an ext4 file system in a file: size and inodes are the quota, exact to a block
VolumeDisks   no root     a memory-backed volume of the engine, as exact (`volumes.py`)
FolderDisks   no engine   a plain folder, for the process runner, which watches its size

<state>/disks/<job>.img    where LoopDisks keeps it
<state>/out/<job>/         where it is mounted (nodev, nosuid, noexec); bound to /out in the container
<state>/collected/<job>/   private copies of what was taken out
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from heldout.market.sandbox import RunSpec
from heldout.market.sandbox.checkpoint import lay, pack
from heldout.market.sandbox.collector import copy_out
from heldout.market.sandbox.errors import OutputRefused, SandboxUnavailable
from heldout.market.sandbox.meter import Room

_TOOL_TIMEOUT_S = 60.0


class Disks(Protocol):
    """One /out per job."""

    def open(self, spec: RunSpec, uid: int) -> str:
        """The job's /out, writable by `uid`, with what earlier attempts left in it, or else with `spec.checkpoint`: a
        path, or the engine's name for a volume."""

    def owner(self, job: str) -> int | None:
        """The uid that the next attempt must have to write there; None if any will do."""

    def room(self, job: str) -> Room:
        """What lies in /out, and whether it is full."""

    def take(self, job: str, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
        """Copy the regular file `name` out, once the job has ended: (SHA-256, size). Writing is ended first, so that
        what is hashed is what was read. Raises OutputRefused."""

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        """Archive /out/checkpoint to `target`; False if there is none. Raises OutputRefused."""

    def known(self) -> set[str]:
        """Jobs that have one."""

    def remove(self, job: str) -> None:
        """Unmount and delete. Idempotent."""


def may_mount() -> bool:
    """Whether this process can make `LoopDisks`."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


class LoopDisks:
    def __init__(self, state: Path) -> None:
        self._images = state / "disks"
        self._mounts = state / "out"

    def open(self, spec: RunSpec, uid: int) -> str:
        image, mount = self._images / f"{spec.job}.img", self._mounts / spec.job
        for folder in (self._images, mount):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if mount.is_mount():
            _tool("mount", "-o", "remount,rw", str(mount))
        else:
            if not (image.exists() and _sound(image)):
                self._make(image, spec, uid)
            _tool("mount", "-o", "loop,nodev,nosuid,noexec", str(image), str(mount))
            with contextlib.suppress(OSError):  # made by mkfs and by fsck; /out begins empty
                (mount / "lost+found").rmdir()
        if spec.checkpoint:
            lay(spec.checkpoint, mount, (uid, uid))
        _give(mount, uid)
        return str(mount.resolve())

    def owner(self, job: str) -> None:
        """`open` gives it to whomever it is asked for."""

    def room(self, job: str) -> Room:
        mount = self._mounts / job
        if not mount.is_mount():
            return Room(0)
        whole = os.statvfs(mount)
        used, files = whole.f_blocks - whole.f_bfree, whole.f_files - whole.f_ffree
        return Room(used * whole.f_frsize, files, whole.f_bavail <= whole.f_blocks / 32, whole.f_favail == 0)

    def take(self, job: str, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
        mount = self._mounts / job
        if not mount.is_mount():
            raise OutputRefused(f"the disk of {job} is not there", hint="the job has to run again")
        _tool("mount", "-o", "remount,ro", str(mount))
        return copy_out(mount, name, target, max_bytes)

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        mount = self._mounts / job
        return mount.is_mount() and pack(mount, target, most_bytes)

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
    def _make(image: Path, spec: RunSpec, uid: int) -> None:
        """Written beside and renamed, so that a crash leaves no half-made file system under the real name."""
        draft = image.with_name(f"{image.name}.new")
        with draft.open("wb") as file:
            file.truncate(spec.limits.disk_bytes)
        options = ("-N", str(spec.limits.disk_files), "-E", f"root_owner={uid}:{uid}")
        _tool("mkfs.ext4", "-q", "-m0", "-O", "^has_journal", *options, str(draft))
        draft.rename(image)


class FolderDisks:
    """No quota of its own."""

    def __init__(self, state: Path) -> None:
        self._folders = state / "out"

    def open(self, spec: RunSpec, uid: int) -> str:
        """`uid` counts for nothing: the job is this process's own user."""
        folder = self._folders / spec.job
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if spec.checkpoint:
            lay(spec.checkpoint, folder)
        return str(folder)

    def owner(self, job: str) -> None:
        """See `open`."""

    def room(self, job: str) -> Room:
        total = files = 0
        for folder, _, names in os.walk(self._folders / job):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # the job is still at work
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                    files += 1
        return Room(total, files)

    def take(self, job: str, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
        folder = self._folders / job
        if not folder.is_dir():
            raise OutputRefused(f"the output folder of {job} is not there", hint="the job has to run again")
        return copy_out(folder, name, target, max_bytes)

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        return (self._folders / job).is_dir() and pack(self._folders / job, target, most_bytes)

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


def _give(mount: Path, uid: int) -> None:
    """What an earlier attempt wrote, to the uid of the next, should it be another. Links are not followed."""
    if os.stat(mount).st_uid == uid:
        return
    os.chown(mount, uid, uid)
    for folder, folders, files in os.walk(mount):
        for name in folders + files:
            os.chown(os.path.join(folder, name), uid, uid, follow_symlinks=False)


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
