"""What the API says about jobs, seats and events: rows as JSON, each with the transaction it comes from."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, Table, func, or_, select, tuple_

from heldout.market.lifecycle import ChainEvent
from heldout.market.service import database as db
from heldout.market.service.cursors import PLACE, parts_of
from heldout.market.service.letters import NotYetKnown
from heldout.market.service.rows import event_of, price_key, shown
from heldout.market.signatures import checksummed
from heldout.market.terms import METRICS, JobId
from heldout.market.valuechain.folding import REGISTRY_EVENTS

PAGE = 100
EVENT_PAGE = 500
LINEAGE = 24
"""Jobs that a drawing of an artifact's ancestors may take in."""
Place = tuple[int, int]
"""(block, log index) of an event: the order of all lists, and their cursors as `block:index`."""
BEGINNING: Place = (-1, -1)


def parse_place(text: str) -> Place:
    """`12:3` as (12, 3). Raises BadInput."""
    block, index = parts_of(text, PLACE)
    return int(block), int(index)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; what is empty does not matter. `least` is wei per lane, `hardware` a platform or `gpu`."""

    state: str = ""
    outcome: str = ""
    requester: str = ""
    provider: str = ""
    metric: str = ""
    hardware: str = ""
    least: int = 0

    def clauses(self) -> list[ColumnElement[bool]]:
        """All of which a row of `jobs` must meet."""
        jobs, lanes = db.jobs.c, db.lanes.c
        asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.state, lambda: jobs.state == self.state),
            (self.outcome, lambda: jobs.outcome == self.outcome),
            (self.requester, lambda: jobs.requester == checksummed(self.requester)),
            (self.provider, lambda: jobs.id.in_(select(lanes.job).where(lanes.provider == checksummed(self.provider)))),
            (self.metric, lambda: jobs.metric == METRICS.get(self.metric, 0)),
            (self.hardware, lambda: jobs.task.in_(tasks_for(self.hardware))),
            (self.least, lambda: jobs.price_cap >= price_key(self.least)),
        ]
        return [clause() for given, clause in asked if given]


def tasks_for(hardware: str) -> Select[tuple[str]]:
    """Tasks whose manifest, as far as the stores have shown it, asks for a GPU or has an image for a platform."""
    manifests = db.manifests.c
    fits = manifests.gpus > 0 if hardware == "gpu" else manifests.platforms.contains(f" {hardware} ", autoescape=True)
    return select(manifests.task).where(fits)


EVERY = JobFilter()


class Reading:
    """Queries over one database; every method is one read transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def block(self) -> int | None:
        """The last block in the index; None before the first."""
        with self._engine.connect() as connection:
            return connection.execute(select(db.cursor.c.block)).scalar()

    def jobs(self, which: JobFilter = EVERY, *, before: str = "", limit: int = 20) -> dict[str, Any]:
        """Newest first. `next` is the cursor of the following page, null on the last."""
        query = select(db.jobs).where(*which.clauses())
        place = (db.jobs.c.posted_block, db.jobs.c.posted_index)
        if before:
            query = query.where(tuple_(*place) < tuple_(*parse_place(before)))
        rows = self._rows(query.order_by(*(column.desc() for column in place)).limit(limit + 1))
        following = f"{rows[limit - 1].posted_block}:{rows[limit - 1].posted_index}" if len(rows) > limit else None
        return {"jobs": [_job(row) for row in rows[:limit]], "next": following}

    def job(self, job: JobId) -> dict[str, Any]:
        """A job with its lanes, rounds and votes. Raises NotYetKnown."""
        row = self._job_row(job)
        lanes, rounds, votes = (self._of_job(table, job) for table in (db.lanes, db.rounds, db.votes))
        for round_ in rounds:
            round_["seats"] = json.loads(round_["seats"])
            round_["votes"] = [vote for vote in votes if vote["round"] == round_["round"]]
        return {**_job(row), "lanes": lanes, "rounds": rounds}

    def history(self, job: JobId) -> list[ChainEvent]:
        """Every event of a job, to be folded (heldout.market.lifecycle). Raises NotYetKnown."""
        place = (db.events.c.block, db.events.c.log_index)
        rows = self._rows(select(db.events).where(db.events.c.job == job).order_by(*place))
        if not rows:
            raise _unknown(job)
        return [event_of(row) for row in rows]

    def job_beginning(self, text: str) -> str | None:
        """The one job whose id begins with `text`; None if there is none, or several."""
        found = self.jobs_beginning(text)
        return found[0] if len(found) == 1 else None

    def jobs_beginning(self, text: str) -> list[JobId]:
        """Two jobs at most whose ids begin with `text`."""
        rows = self._rows(select(db.jobs.c.id).where(db.jobs.c.id.startswith(text, autoescape=True)).limit(2))
        return [JobId(row.id) for row in rows]

    def transaction(self, tx: str) -> list[ChainEvent]:
        """What happened in one transaction, by its whole hash."""
        place = (db.events.c.block, db.events.c.log_index)
        return [event_of(row) for row in self._rows(select(db.events).where(db.events.c.tx == tx).order_by(*place))]

    def lineage(self, artifact: str) -> list[ChainEvent]:
        """All that tells of an artifact and of what it was made of, to be folded (heldout.market.valuechain).

        At most LINEAGE jobs, the nearest first.
        """
        made, parents = db.artifacts.c, db.parents.c
        jobs: list[str] = []
        next_: list[str] = [artifact]
        while next_ and len(jobs) < LINEAGE:
            found = {row.job for row in self._rows(select(made.job).where(made.artifact.in_(next_)))} - set(jobs)
            fresh = sorted(found)[: LINEAGE - len(jobs)]
            jobs += fresh
            next_ = [row.artifact for row in self._rows(select(parents.artifact).where(parents.job.in_(fresh)))]
        events = db.events.c
        told = or_(events.job.in_(jobs), events.name == "Staked", events.name.in_(REGISTRY_EVENTS))
        return [
            event_of(row) for row in self._rows(select(db.events).where(told).order_by(events.block, events.log_index))
        ]

    def last_place(self) -> Place:
        """Where the newest event stands."""
        place = (db.events.c.block, db.events.c.log_index)
        rows = self._rows(select(*place).order_by(*(column.desc() for column in place)).limit(1))
        return (rows[0].block, rows[0].log_index) if rows else BEGINNING

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        grouped = select(db.jobs.c.state, func.count().label("jobs")).group_by(db.jobs.c.state)
        return {row.state: row.jobs for row in self._rows(grouped)}

    def money(self, job: JobId) -> list[dict[str, Any]]:
        """The job's money table (P1.4), in the chain's order. Raises NotYetKnown."""
        self._job_row(job)
        return self._of_job(db.money, job)

    def events(
        self, *, after: Place, job: str = "", until: int | None = None, limit: int = EVENT_PAGE
    ) -> list[dict[str, Any]]:
        """Events after a place and up to block `until`, in the chain's order."""
        place = (db.events.c.block, db.events.c.log_index)
        query = select(db.events).where(tuple_(*place) > tuple_(*after)).order_by(*place).limit(limit)
        if job:
            query = query.where(db.events.c.job == job)
        if until is not None:
            query = query.where(db.events.c.block <= until)
        return [_event(row) for row in self._rows(query)]

    def seats(self, address: str) -> list[dict[str, Any]]:
        """All seats, or those whose hot or cold key is `address`."""
        query = select(db.seats).order_by(db.seats.c.seat)
        if address:
            query = query.where(or_(db.seats.c.hot == checksummed(address), db.seats.c.cold == checksummed(address)))
        return [dict(row._mapping) for row in self._rows(query)]

    def owners(self, seats: Collection[int]) -> int:
        """How many different cold keys these seats have: seats are drawn, not people."""
        query = select(func.count(db.seats.c.cold.distinct())).where(db.seats.c.seat.in_(seats))
        return int(self._rows(query)[0][0])

    def state_hash(self) -> str:
        """See database.state_hash."""
        with self._engine.connect() as connection:
            return db.state_hash(connection)

    def _job_row(self, job: JobId) -> Any:
        rows = self._rows(select(db.jobs).where(db.jobs.c.id == job))
        if not rows:
            raise _unknown(job)
        return rows[0]

    def _of_job(self, table: Table, job: JobId) -> list[dict[str, Any]]:
        rows = self._rows(select(table).where(table.c.job == job).order_by(*table.primary_key.columns))
        return [{key: value for key, value in row._mapping.items() if key != "job"} for row in rows]

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def _unknown(job: JobId) -> NotYetKnown:
    return NotYetKnown(f"no job {job}", hint="check the id; a new job may be a block away")


def _job(row: Any) -> dict[str, Any]:
    kept = ("id", "requester", "state", "outcome", "round", "deadline", "accept_block", "seat_count", "tx", "block")
    return {
        **{name: row._mapping[name] for name in kept},
        "demanded": json.loads(row.demanded),
        "pending": json.loads(row.pending),
        "terms": json.loads(row.terms),
        "posted": {"tx": row.posted_tx, "block": row.posted_block, "at": row.posted_at},
    }


def _event(row: Any) -> dict[str, Any]:
    event = event_of(row)
    about = {"id": event.id, "name": event.name, "job": event.job, "args": shown(event.args)}
    return {**about, "block": event.block, "block_hash": event.block_hash, "tx": event.tx, "at": event.timestamp}
