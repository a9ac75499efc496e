"""/out without root: a memory-backed volume of the engine. Size and inodes are its mount's options, so the kernel holds
them as it holds a file system's; what was written survives attempts and a crash of the node, not one of the engine.

The engine unmounts a volume that no container uses, and what is in memory is gone then. So a keeper, a container that
is paused before it does anything, holds it from the first attempt to `remove`. A mount has one owner for good: between
two attempts the keeper holds that uid too, so that no other job is given it meanwhile.
"""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path

from heldout.market.sandbox import RunSpec
from heldout.market.sandbox.checkpoint import CHECKPOINT, owned, pack_stream
from heldout.market.sandbox.collector import TarStream, copy_out_of_stream
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.errors import OutputRefused
from heldout.market.sandbox.meter import Room
from heldout.market.sandbox.profile import LABEL_LIMITS, LABEL_PLACE, keeper_options, volume_options

_TAR_BLOCK = 512


class VolumeDisks:
    """What an engine keeps for one node."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, spec: RunSpec, uid: int) -> str:
        volume = self._engine.volume(spec.job)
        if volume is None or self._engine.keeper(spec.job) is None:
            self.remove(spec.job)
            volume = self._engine.make_volume(volume_options(self._engine.node, spec, uid))
            options = keeper_options(self._engine.node, spec, volume.name, uid, self._engine.dialect)
            keeper = self._engine.run(options)
            self._engine.pause(keeper)
            if spec.checkpoint:
                self._engine.lay(keeper, "/out", owned(spec.checkpoint, uid))
        return str(volume.name)

    def owner(self, job: str) -> int | None:
        keeper = self._engine.keeper(job)
        return None if keeper is None else int(keeper.labels[LABEL_PLACE])

    def room(self, job: str) -> Room:
        """Counted in a stream of the whole folder, which ends at its quota: sparse files would make it endless."""
        keeper, volume = self._engine.keeper(job), self._engine.volume(job)
        if keeper is None or volume is None:
            return Room(0)
        quota = int(volume.attrs["Labels"][LABEL_LIMITS])
        total = files = 0
        with closing(self._engine.archive(keeper, "/out/.")) as chunks:
            try:
                with tarfile.open(fileobj=TarStream(chunks, 2 * quota), mode="r|") as tar:  # type: ignore[call-overload]
                    for member in tar:
                        total += member.size
                        files += 1
            except tarfile.TarError:
                return Room(quota, files, no_bytes_left=True)
        return Room(total, files, no_bytes_left=total + _TAR_BLOCK >= quota)

    def take(self, job: str, name: str, target: Path, max_bytes: int) -> tuple[bytes, int]:
        keeper = self._engine.keeper(job)
        if keeper is None:
            raise OutputRefused(f"nobody holds the volume of {job}", hint="the job has to run again")
        with closing(self._engine.archive(keeper, f"/out/{name}")) as chunks:
            return copy_out_of_stream(chunks, name, target, max_bytes)

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        keeper = self._engine.keeper(job)
        if keeper is None or not self._engine.has_path(keeper, f"/out/{CHECKPOINT}"):
            return False
        with closing(self._engine.archive(keeper, f"/out/{CHECKPOINT}")) as chunks:
            return pack_stream(chunks, target, most_bytes)

    def known(self) -> set[str]:
        return self._engine.jobs_with_volumes()

    def remove(self, job: str) -> None:
        if (keeper := self._engine.keeper(job)) is not None:
            self._engine.remove(keeper)
        if (volume := self._engine.volume(job)) is not None:
            self._engine.remove_volume(volume)
