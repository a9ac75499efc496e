"""Tables and how they are reached: SQLite in a file by default, PostgreSQL by URL. SQLAlchemy Core, no mapper.

Derived from the chain, rebuilt from it at any time, covered by `state_hash`:
    events    every log of the market, the one source of all that follows
    jobs lanes rounds votes money seats artifacts parents
              folds of events; each row names the transaction that last changed it
Not of the chain, and not in the hash:
    cursor    how far the chain was followed
    letters   calls for bids, bids and mail (P8); nonces of sign-ins that were spent
    calls     which letters are calls, and until when
    erased    hashes of letters that a party had erased
    manifests what the stores say a task is made of, by its hash
    readings  what providers say about their own training
    answers   of writes that came with an Idempotency-Key

Amounts are decimal text: a uint96 does not fit a database's integer. Hashes and keys are 0x-hex text, addresses too.
An index whose derived tables have other columns or lack an index of these is dropped when it is opened, and read anew
from the chain.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Inspector,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DatabaseError

from heldout.market.errors import BadInput
from heldout.market.jsontext import canonical_json

_LETTERBOX = 0x6C6574746572
"""Names the lock of PostgreSQL."""

metadata = MetaData()


def _origin() -> tuple[Column[Any], Column[Any]]:
    """Where a row comes from: the last transaction that changed it, and its block."""
    return Column("tx", String(66), nullable=False), Column("block", BigInteger, nullable=False)


events = Table(
    "events",
    metadata,
    Column("block", BigInteger, primary_key=True),
    Column("log_index", Integer, primary_key=True),
    Column("block_hash", String(66), nullable=False),
    Column("tx", String(66), nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("name", String(32), nullable=False),
    Column("job", String(66)),
    Column("seat", BigInteger),
    # Whose free balance it moved outside any job; null for other events.
    Column("account", String(42)),
    Column("args", Text, nullable=False),
    Index("events_of_job", "job", "block", "log_index"),
    Index("events_of_seat", "seat", "block", "log_index"),
    Index("events_of_tx", "tx"),
    Index("events_of_account", "account", "block", "log_index"),
    Index("events_of_name", "name"),
)
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(66), primary_key=True),
    Column("requester", String(42), nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("outcome", String(24), nullable=False),
    Column("round", Integer, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("accept_block", BigInteger),
    Column("seat_count", Integer, nullable=False),
    Column("demanded", String(32), nullable=False),
    Column("pending", String(32), nullable=False),
    Column("terms", Text, nullable=False),
    Column("metric", Integer, nullable=False, index=True),
    # Padded with zeros, so that the order of the text is that of the numbers.
    Column("price_cap", String(29), nullable=False),
    Column("task", String(66), nullable=False, index=True),
    Column("posted_tx", String(66), nullable=False),
    Column("posted_block", BigInteger, nullable=False),
    Column("posted_index", Integer, nullable=False),
    Column("posted_at", BigInteger, nullable=False),
    *_origin(),
    Index("jobs_in_order", "posted_block", "posted_index"),
)
lanes = Table(
    "lanes",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("provider", String(42), nullable=False, index=True),
    Column("price", String(80), nullable=False),
    Column("wrap_key", String(66), nullable=False),
    Column("word", String(66)),
    Column("score", BigInteger),
    Column("payout", String(80), nullable=False),
    *_origin(),
)
rounds = Table(
    "rounds",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("seed", String(66)),
    Column("seats", Text, nullable=False),
    Column("result", String(66)),
    Column("appellant", String(42)),
    *_origin(),
)
votes = Table(
    "votes",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("seat", BigInteger),
    Column("commit", String(66)),
    Column("vote", String(66)),
    Column("evidence", String(66)),
    *_origin(),
    Index("votes_of_seat", "seat"),
)
money = Table(
    "money",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("incoming", Boolean, nullable=False),
    Column("account", String(42), nullable=False, index=True),
    Column("purpose", String(16), nullable=False),
    Column("amount", String(80), nullable=False),
    *_origin(),
)
seats = Table(
    "seats",
    metadata,
    Column("seat", BigInteger, primary_key=True),
    Column("cold", String(42), nullable=False, index=True),
    Column("hot", String(42), nullable=False, index=True),
    Column("wrap_key", String(66), nullable=False),
    Column("slashed", String(80), nullable=False),
    Column("withdrawable_at", BigInteger),
    Column("unstaked", Boolean, nullable=False),
    # The block of its `Staked`: an index that is used again does not inherit votes.
    Column("since", BigInteger, nullable=False),
    *_origin(),
)
artifacts = Table(
    "artifacts",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("artifact", String(66), nullable=False, index=True),
    Column("maker", String(42), nullable=False, index=True),
    Column("owner", String(42), nullable=False, index=True),
    Column("word", String(66), nullable=False),
    Column("task", String(66), nullable=False),
    Column("data_root", String(66), nullable=False),
    Column("score", BigInteger, nullable=False),
    Column("measured", Boolean, nullable=False),
    *_origin(),
)
parents = Table(
    "parents",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("artifact", String(66), nullable=False, index=True),
    Column("payee", String(42), nullable=False, index=True),
    Column("bps", Integer, nullable=False),
    *_origin(),
)
JOB_TABLES: Final = (lanes, rounds, votes, money, artifacts, parents)
DERIVED: Final = (events, jobs, *JOB_TABLES, seats)

cursor = Table(
    "cursor",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("json", Text, nullable=False),
)
letters = Table(
    "letters",
    metadata,
    # Microseconds of unix time: readers go on after a number, also when the service has lost its database meanwhile.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("job", String(66), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sender", String(42), nullable=False),
    Column("receiver", String(42), nullable=False),
    Column("letter", Text, nullable=False),
    Index("letters_to", "receiver", "number"),
    Index("letters_of", "job", "sender"),
)
calls = Table(
    "calls",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # of its letter
    Column("job", String(66), nullable=False, index=True),
    Column("requester", String(42), nullable=False, index=True),
    Column("until", BigInteger, nullable=False, index=True),
)
erased = Table(
    "erased",
    metadata,
    Column("hash", String(64), primary_key=True),
)
nonces = Table(
    "nonces",
    metadata,
    Column("nonce", String(64), primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
)
manifests = Table(
    "manifests",
    metadata,
    Column("task", String(66), primary_key=True),
    Column("gpus", Integer, nullable=False),
    Column("platforms", Text, nullable=False),
    Column("json", Text, nullable=False),
)
readings = Table(
    "readings",
    metadata,
    Column("job", String(66), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("json", Text, nullable=False),
)
answers = Table(
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("json", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)


def open_database(url: str) -> Engine:
    """`sqlite:///path` or a plain path; `postgresql+psycopg://…`. Makes the tables. Raises BadInput.

    Read with `engine.connect()`; write with `writing(engine).begin()`, so that SQLite takes its write lock at once.
    """
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, ImportError) as problem:
        hint = "give a file, or postgresql://… (pip install 'heldout[postgres]')"
        raise BadInput(f"the database cannot be opened: {problem}", hint=hint, code="bad_database") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, Path(parsed.database or ""))
    try:
        _drop_outdated(engine)
        metadata.create_all(engine)
    except DatabaseError as problem:
        hint = "is it the file, or the server, of a market service, and may it be written to?"
        raise BadInput(f"the database cannot be used: {problem.orig}", hint=hint, code="bad_database") from None
    return engine


def _drop_outdated(engine: Engine) -> None:
    """Derived tables of another version of this program: the chain has all that was in them."""
    known = inspect(engine)
    there = [table for table in DERIVED if known.has_table(table.name)]
    outdated = [table for table in there if _shape(known, table) != (set(table.c.keys()), _indexes(table))]
    if outdated or 0 < len(there) < len(DERIVED):
        metadata.drop_all(engine, [*DERIVED, cursor])


def _shape(known: Inspector, table: Table) -> tuple[set[str], set[str]]:
    """Names of the columns and indexes that a table has in the database."""
    indexes = {str(index["name"]) for index in known.get_indexes(table.name)} & _indexes(table)
    return {column["name"] for column in known.get_columns(table.name)}, indexes


def _indexes(table: Table) -> set[str]:
    return {str(index.name) for index in table.indexes}


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write."""
    return engine.execution_options(writes=True)


def one_after_the_other(connection: Connection) -> None:
    """Until this transaction ends no other passes here; in SQLite none writes anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LETTERBOX)))


def _prepare_sqlite(engine: Engine, path: Path) -> None:
    """WAL, and transactions that begin when they say so: the driver's own would take the write lock too late."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 10000")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def state_hash(connection: Connection) -> str:
    """SHA-256 over every row derived from the chain, in the order of their keys: equal for equal chains (P11e)."""
    digest = sha256()
    for table in DERIVED:
        digest.update(table.name.encode() + b"\n")
        for row in connection.execute(select(table).order_by(*table.primary_key.columns)):
            digest.update(canonical_json(list(row)) + b"\n")
    return digest.hexdigest()
