"""What the API says about jobs, seats and events: rows as JSON, each with the transaction it comes from."""

import json
from typing import Any

from sqlalchemy import Engine, Select, Table, or_, select, tuple_

from heldout.market.errors import BadInput
from heldout.market.service import database as db
from heldout.market.service.letters import NotYetKnown
from heldout.market.service.rows import event_of, shown
from heldout.market.signatures import checksummed
from heldout.market.terms import JobId

PAGE = 100
EVENT_PAGE = 500
Place = tuple[int, int]
"""(block, log index) of an event: the order of all lists, and their cursors as `block:index`."""
BEGINNING: Place = (-1, -1)


def parse_place(text: str) -> Place:
    """`12:3` as (12, 3). Raises BadInput."""
    block, _, index = text.partition(":")
    if not (block.isdecimal() and index.isdecimal()) or len(text) > 30:
        raise BadInput(
            f"{text!r} is no place in the chain", hint="use a cursor or event id as it was given", code="bad_cursor"
        )
    return int(block), int(index)


class Reading:
    """Queries over one database; every method is one read transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def block(self) -> int | None:
        """The last block in the index; None before the first."""
        with self._engine.connect() as connection:
            return connection.execute(select(db.cursor.c.block)).scalar()

    def jobs(self, *, state: str, requester: str, provider: str, before: str, limit: int) -> dict[str, Any]:
        """Newest first. `next` is the cursor of the following page, null on the last."""
        query = select(db.jobs)
        if state:
            query = query.where(db.jobs.c.state == state)
        if requester:
            query = query.where(db.jobs.c.requester == checksummed(requester))
        if provider:
            query = query.where(
                db.jobs.c.id.in_(select(db.lanes.c.job).where(db.lanes.c.provider == checksummed(provider)))
            )
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

    def state_hash(self) -> str:
        """See database.state_hash."""
        with self._engine.connect() as connection:
            return db.state_hash(connection)

    def _job_row(self, job: JobId) -> Any:
        rows = self._rows(select(db.jobs).where(db.jobs.c.id == job))
        if not rows:
            raise NotYetKnown(f"no job {job}", hint="check the id; a new job may be a block away")
        return rows[0]

    def _of_job(self, table: Table, job: JobId) -> list[dict[str, Any]]:
        rows = self._rows(select(table).where(table.c.job == job).order_by(*table.primary_key.columns))
        return [{key: value for key, value in row._mapping.items() if key != "job"} for row in rows]

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


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
