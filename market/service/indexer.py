"""The index of the chain: events are stored as they are read, everything else is folded from them.

    follow ──▶ one transaction: delete the events of blocks that left the chain, insert the new ones,
               fold every job and seat that either concerns, and move the cursor

So a crash loses nothing, a reorg leaves nothing behind, and an index rebuilt from nothing is equal row by row (P11e).
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Thread
from typing import Any, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import OperationalError

from heldout.market.chain.logs import Cursor, Followed
from heldout.market.errors import ChainProblem, HeldoutError
from heldout.market.lifecycle import ChainEvent, fold
from heldout.market.service import database as db
from heldout.market.service.rows import SEAT_EVENTS, event_of, event_row, job_rows, seat_row
from heldout.market.terms import BlockNumber, JobId

log = logging.getLogger(__name__)

PAGE = 2_000
"""Blocks in one step, and so in one transaction."""
TOGETHER = 200
"""Jobs that are folded and written in one go."""
_STOP_S = 3.0


class Followable(Protocol):
    """What the index needs of heldout.market.chain.Chain."""

    def start(self) -> Cursor: ...
    def follow(self, cursor: Cursor, *, most: int, registry: bool) -> Followed: ...


class Step(NamedTuple):
    """What one step did."""

    block: BlockNumber
    """The last block in the index now."""
    moved: bool
    rolled_back: BlockNumber | None
    caught_up: bool


class Index:
    """The chain-derived tables of one database."""

    def __init__(self, engine: Engine, chain: Followable) -> None:
        self._engine = db.writing(engine)
        self._chain = chain

    def step(self) -> Step:
        """Follow the chain by at most PAGE blocks. Raises ChainProblem, and has then changed nothing."""
        with self._engine.connect() as connection:
            stored = connection.execute(select(db.cursor.c.json)).scalar()
        before = Cursor.from_json(stored) if stored else self._chain.start()
        followed = self._chain.follow(before, most=PAGE, registry=True)
        moved = followed.cursor != before
        if moved or not stored:
            with self._engine.begin() as connection:
                _apply(connection, followed)
        begun_at = before.block if followed.rolled_back is None else followed.rolled_back
        caught_up = followed.cursor.block - begun_at < PAGE
        return Step(followed.cursor.block, moved, followed.rolled_back, caught_up)

    def clear(self) -> None:
        """Forget all that came from the chain, to be rebuilt; letters stay."""
        with self._engine.begin() as connection:
            for table in (*db.DERIVED, db.cursor):
                connection.execute(delete(table))


def _apply(connection: Connection, followed: Followed) -> None:
    void = [] if followed.rolled_back is None else _take_back(connection, followed.rolled_back)
    if followed.events:
        connection.execute(insert(db.events), [event_row(event) for event in followed.events])
    changed = [*void, *followed.events]
    jobs = sorted({event.job for event in changed if event.job})
    for first in range(0, len(jobs), TOGETHER):
        _fold_jobs(connection, jobs[first : first + TOGETHER])
    for seat in sorted({event.args["seat"] for event in changed if event.name in SEAT_EVENTS}):
        _fold_seat(connection, seat)
    connection.execute(delete(db.cursor))
    connection.execute(insert(db.cursor), {"id": 0, "block": followed.cursor.block, "json": followed.cursor.to_json()})


def _take_back(connection: Connection, after: BlockNumber) -> list[ChainEvent]:
    """Delete and return the events of blocks above `after`."""
    gone = db.events.c.block > after
    void = [event_of(row) for row in connection.execute(select(db.events).where(gone))]
    connection.execute(delete(db.events).where(gone))
    return void


def _stored(connection: Connection, *which: Any) -> list[ChainEvent]:
    order = (db.events.c.block, db.events.c.log_index)
    return [event_of(row) for row in connection.execute(select(db.events).where(*which).order_by(*order))]


def _fold_jobs(connection: Connection, jobs: Sequence[JobId]) -> None:
    """Many at once: a statement costs more than a row."""
    told: dict[str, list[ChainEvent]] = {}
    for event in _stored(connection, db.events.c.job.in_(jobs)):
        told.setdefault(str(event.job), []).append(event)
    connection.execute(delete(db.jobs).where(db.jobs.c.id.in_(jobs)))
    for table in db.JOB_TABLES:
        connection.execute(delete(table).where(table.c.job.in_(jobs)))
    rows: dict[str, list[dict[str, Any]]] = {}
    for events in told.values():
        for state in fold(events).values():
            for name, found in job_rows(state, events).items():
                rows.setdefault(name, []).extend(found)
    _insert(connection, rows.items())


def _fold_seat(connection: Connection, seat: int) -> None:
    events = _stored(connection, db.events.c.seat == seat, db.events.c.name.in_(SEAT_EVENTS))
    connection.execute(delete(db.seats).where(db.seats.c.seat == seat))
    row = seat_row(seat, events)
    _insert(connection, [("seats", [row] if row else [])])


def _insert(connection: Connection, rows_by_table: Iterable[tuple[str, list[dict[str, Any]]]]) -> None:
    for name, rows in rows_by_table:
        if rows:
            connection.execute(insert(db.metadata.tables[name]), rows)


class Follower(Thread):
    """Keeps an index at the chain's head, until stopped. `on_block` is called after every step that moved."""

    def __init__(
        self,
        index: Index,
        registry: CollectorRegistry,
        on_block: Callable[[], None],
        ticks: Callable[[], float],
        period_s: float = 1.0,
    ) -> None:
        super().__init__(name="indexer", daemon=True)
        self._index, self._on_block, self._ticks, self._period_s = index, on_block, ticks, period_s
        self._stop_asked = Event()
        self._fresh_at: float | None = None
        self._block = Gauge("heldout_market_block", "Last block in the index", registry=registry)
        self._rollbacks = Counter("heldout_market_rollbacks", "Reorgs undone", registry=registry)
        self._failures = Counter("heldout_market_failures", "Steps that could not be taken", registry=registry)
        self.failed: HeldoutError | None = None
        """What ended the thread: an error that no waiting cures."""

    @property
    def age(self) -> float:
        """Seconds since the index last stood at the chain's head; infinite before it first did."""
        return float("inf") if self._fresh_at is None else self._ticks() - self._fresh_at

    def stop(self) -> None:
        """A request under way may outlast this; the thread ends with the process."""
        self._stop_asked.set()
        self.join(_STOP_S)

    def run(self) -> None:
        failures = 0
        while not self._stop_asked.is_set():
            try:
                caught_up = self._step()
                failures = 0
            except (ChainProblem, OperationalError) as problem:
                if isinstance(problem, ChainProblem) and not problem.retryable:
                    return self._give_up(problem)
                log.warning("the index cannot go on now: %s", problem)
                self._failures.inc()
                failures, caught_up = failures + 1, True
            except Exception as bug:
                log.exception("the index cannot go on")
                return self._give_up(HeldoutError(f"the index cannot go on: {bug!r}", hint="rebuild it"))
            if caught_up:
                self._stop_asked.wait(self._period_s * min(2**failures, 30))

    def _give_up(self, problem: HeldoutError) -> None:
        log.error("the index stops: %s (%s)", problem.message, problem.hint)
        self.failed = problem

    def _step(self) -> bool:
        """Whether the index now stands at the head."""
        before = self._ticks()
        step = self._index.step()
        self._block.set(step.block)
        if step.rolled_back is not None:
            log.warning("the chain turned back to block %d; later rows are folded anew", step.rolled_back)
            self._rollbacks.inc()
        if step.moved:
            self._on_block()
        if step.caught_up:
            self._fresh_at = before
        return step.caught_up
