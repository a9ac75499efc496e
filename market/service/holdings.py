"""What the service holds about one address that is not on chain: to be taken along, and to be erased.

    letters    calls for bids, bids, records of trainings and private letters (sealed), sent or received
    readings   what its trainings said of themselves
    manifests  what its jobs' tasks are made of, copied from the stores

Of a job that is still going on nothing is erased unless that is asked for: its parties may not have read it yet. Of an
erased letter its hash stays, so that nobody who kept the letter can leave it here again. What the chain says is not
held here but read from it, and never goes away.
"""

import json
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import tuple_ as row_of

from heldout.market.service import database as db
from heldout.market.service.cursors import LETTER, MANIFEST, READING, parts_of
from heldout.market.terms import Address

PAGE: Final = 100
_KINDS: Final = ("letter", "reading", "manifest")
_LETTERS, _READINGS, _MANIFESTS, _JOBS = db.letters.c, db.readings.c, db.manifests.c, db.jobs.c
_CALLS = db.calls.c

Row = dict[str, Any]


class Holdings:
    """Queries and deletions over one database. Addresses are checksummed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def summary(self, address: Address) -> Row:
        """How many rows of each kind, and how many of them belong to jobs that are still going on."""
        kinds = ((db.letters, _letters_of(address)), (db.readings, _readings_of(address)))
        with self._engine.connect() as connection:
            letters, readings = (_count(connection, table, mine) for table, mine in kinds)
            live = sum(_count(connection, table, mine & _live(table.c.job)) for table, mine in kinds)
            manifests = _count(connection, db.manifests, _manifests_of(address))
        return {"address": address, "letters": letters, "readings": readings, "manifests": manifests, "live": live}

    def rows(self, address: Address, cursor: str) -> Row:
        """One page of everything, letters first. Raises BadInput for a cursor that was not given out."""
        cursor = cursor or "letter:"
        kind = next((kind for kind in _KINDS if cursor.startswith(f"{kind}:")), "letter")
        with self._engine.connect() as connection:
            found = getattr(self, f"_{kind}s")(connection, address, cursor)
        following = _KINDS[_KINDS.index(kind) + 1 :]
        next_ = f"{kind}:{found[PAGE - 1]['place']}" if len(found) > PAGE else f"{following[0]}:" if following else None
        return {"rows": found[:PAGE], "next": next_}

    def erase(self, address: Address, *, live: bool) -> Row:
        """How many rows went, and how many were kept because their job is `live` and that was not asked for."""
        with db.writing(self._engine).begin() as connection:
            gone = {}
            letters, readings = _letters_of(address), _readings_of(address)
            if not live:
                letters, readings = letters & ~_live(_LETTERS.job), readings & ~_live(_READINGS.job)
            unknown = ~exists().where(db.erased.c.hash == _LETTERS.hash)
            connection.execute(insert(db.erased).from_select(["hash"], select(_LETTERS.hash).where(letters, unknown)))
            gone["letters"] = connection.execute(delete(db.letters).where(letters)).rowcount
            nobodys = ~exists().where(_LETTERS.number == _CALLS.number)  # the rest is for removing what came in on it
            connection.execute(update(db.calls).where(nobodys).values(requester=""))
            gone["readings"] = connection.execute(delete(db.readings).where(readings)).rowcount
            manifests = _manifests_of(address, live=live)
            gone["manifests"] = connection.execute(delete(db.manifests).where(manifests)).rowcount
        return {**gone, "kept": self.summary(address)["live"]}

    def _letters(self, connection: Connection, address: Address, cursor: str) -> list[Row]:
        (after,) = parts_of(cursor, LETTER)
        later = _LETTERS.number > int(after or "-1")
        query = select(db.letters).where(_letters_of(address), later).order_by(_LETTERS.number)
        return [
            {"kind": "letter", "job": row.job, "value": json.loads(row.letter), "place": str(row.number)}
            for row in _some(connection, query)
        ]

    def _readings(self, connection: Connection, address: Address, cursor: str) -> list[Row]:
        place = row_of(_READINGS.job, _READINGS.lane, _READINGS.number)
        query = select(db.readings).where(_readings_of(address)).order_by(*place.clauses)
        job, lane, number = parts_of(cursor, READING)
        if job:
            query = query.where(place > row_of(job, int(lane), int(number)))
        return [
            {
                "kind": "reading",
                "job": row.job,
                "value": {"lane": row.lane, "line": json.loads(row.json)},
                "place": f"{row.job}:{row.lane}:{row.number}",
            }
            for row in _some(connection, query)
        ]

    def _manifests(self, connection: Connection, address: Address, cursor: str) -> list[Row]:
        (after,) = parts_of(cursor, MANIFEST)
        query = select(db.manifests).where(_manifests_of(address), _MANIFESTS.task > after).order_by(_MANIFESTS.task)
        return [
            {"kind": "manifest", "job": None, "value": json.loads(row.json), "place": row.task}
            for row in _some(connection, query)
        ]


def _letters_of(address: Address) -> ColumnElement[bool]:
    return or_(_LETTERS.sender == address.lower(), _LETTERS.receiver == address.lower())


def _readings_of(address: Address) -> ColumnElement[bool]:
    lanes = db.lanes.c
    return exists().where(lanes.job == _READINGS.job, lanes.lane == _READINGS.lane, lanes.provider == address)


def _manifests_of(address: Address, *, live: bool = True) -> ColumnElement[bool]:
    """Of tasks that only this address's jobs have; all of them settled, unless `live`."""
    others = _JOBS.requester != address
    kept = others if live else or_(others, _JOBS.state != "settled")
    of_task = _JOBS.task == _MANIFESTS.task
    return and_(exists().where(of_task, _JOBS.requester == address), ~exists().where(of_task, kept))


def _live(job: ColumnElement[Any]) -> ColumnElement[bool]:
    """A job that goes on, or is called for: its call is removed soon after its end."""
    posted = exists().where(_JOBS.id == job)
    return exists().where(_JOBS.id == job, _JOBS.state != "settled") | (exists().where(_CALLS.job == job) & ~posted)


def _count(connection: Connection, table: Any, which: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(which)).scalar() or 0)


def _some(connection: Connection, query: Any) -> list[Any]:
    rows: Executable = query.limit(PAGE + 1)
    return list(connection.execute(rows))
