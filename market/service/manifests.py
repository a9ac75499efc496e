"""Task manifests, fetched from the network's stores by the hash in a job's terms: what a job runs, and on what.

Only artifact ids are ever asked for, only of the stores that the network file names, so that no job can make this
service call anybody else. What a store gives is checked against its hash, and against the form of a manifest.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

from sqlalchemy import Engine, func, insert, select

from heldout.market.artifacts import ArtifactId
from heldout.market.errors import HeldoutError
from heldout.market.manifest import Manifest
from heldout.market.messages import hexed
from heldout.market.service import database as db

log = logging.getLogger(__name__)

MOST_BYTES = 256 << 10
_BATCH = 20
_MOST_REFUSED = 10_000
_MOST_GPUS = 2**31 - 1
"""That PostgreSQL's integer holds; jobs are filtered by whether there is one."""
_STOP_S = 3.0


class Shelf(Protocol):
    """What this needs of heldout.market.artifacts.Stores."""

    def get(self, artifact: ArtifactId, limit: int) -> bytes: ...


class Manifests:
    """The manifests that are known here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, task: bytes) -> Manifest | None:
        """None while no store has shown it."""
        with self._engine.connect() as connection:
            text = connection.execute(select(db.manifests.c.json).where(db.manifests.c.task == hexed(task))).scalar()
        return None if text is None else Manifest.decode(text.encode())

    def keep(self, manifest: Manifest) -> None:
        """What `lacking` no longer names."""
        row = {
            "task": hexed(manifest.task_hash),
            "gpus": min(manifest.resources.gpus, _MOST_GPUS),
            "platforms": f" {' '.join(sorted(manifest.image))} ",
            "json": manifest.encode().decode(),
        }
        with db.writing(self._engine).begin() as connection:
            known = connection.execute(select(db.manifests.c.task).where(db.manifests.c.task == row["task"])).first()
            if known is None:
                connection.execute(insert(db.manifests), row)

    def lacking(self, without: frozenset[str] = frozenset()) -> list[str]:
        """Some tasks of jobs, the newest first, that are not known here."""
        jobs = db.jobs.c
        query = (
            select(jobs.task)
            .where(jobs.task.not_in(select(db.manifests.c.task)))
            .group_by(jobs.task)
            .order_by(func.max(jobs.posted_block).desc())
            .limit(_BATCH + len(without))
        )
        with self._engine.connect() as connection:
            return [task for task in connection.execute(query).scalars() if task not in without][:_BATCH]


class Fetcher(Thread):
    """Asks the stores for what is lacking, now and then. `ticks` gives seconds that never go back."""

    def __init__(
        self,
        manifests: Manifests,
        stores: Shelf,
        ticks: Callable[[], float],
        *,
        period_s: float = 3.0,
        again_s: float = 300.0,
    ) -> None:
        super().__init__(name="manifests", daemon=True)
        self._manifests, self._stores, self._ticks = manifests, stores, ticks
        self._period_s, self._again_s = period_s, again_s
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._stop_asked = Event()

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(_STOP_S)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.step()
            except Exception:
                log.exception("manifests cannot be fetched now")
            self._stop_asked.wait(self._period_s)

    def step(self) -> None:
        """One try for each of a few tasks; what fails is left alone for a while."""
        now = self._ticks()
        while self._refused and now - next(iter(self._refused.values())) > self._again_s:
            self._refused.popitem(last=False)
        for task in self._manifests.lacking(frozenset(self._refused)):
            if self._stop_asked.is_set():
                return
            try:
                self._manifests.keep(self._fetched(task))
            except HeldoutError as problem:
                log.debug("no manifest %s: %s", task, problem.message)
                self._refused[task] = now
            except Exception:  # what a stranger wrote into one manifest keeps no other from being fetched
                log.exception("the manifest %s cannot be kept", task)
                self._refused[task] = now
        while len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)

    def _fetched(self, task: str) -> Manifest:
        return Manifest.decode(self._stores.get(ArtifactId(task.removeprefix("0x")), MOST_BYTES))
