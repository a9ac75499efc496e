"""What a node must not forget, on disk before it acts: SQLite in one directory that one process holds.

Every row carries a checksum, and a seal over all rows is renewed in the same transaction, so a flipped byte, a torn
page or a missing row is found when the journal is opened and never used. A `put` that returned survives power loss
(synchronous=FULL), and lies in the main file: SQLite drops a damaged tail of its write-ahead log without a word.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from heldout.market.errors import AlreadyRunning, HeldoutError

VERSION = 1
_SUM_BYTES = 16
_MODULUS = 1 << (8 * _SUM_BYTES)
_SCHEMA = """
CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seal (rows INTEGER NOT NULL, sum BLOB NOT NULL);
"""


class JournalProblem(HeldoutError):
    """The journal cannot be trusted, or not be written."""

    code = "journal_damaged"


class JournalUnwritable(JournalProblem):
    """There is no room, most often: nothing was done, and a node goes on when there is."""

    code = "journal_unwritable"
    retryable = True


class Journal:
    """A key-value store of JSON objects in `directory`. Raises AlreadyRunning, JournalProblem. For one thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._lock = _lock(directory)
        try:
            with self._guard():
                self._db = _open(directory / "journal.db")
                self._rows, self._sum = _check(self._db)
        except BaseException:
            os.close(self._lock)
            raise

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Returns once the record is on disk."""
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        self._replace(key, data)

    def get(self, key: str) -> dict[str, Any] | None:
        with self._guard():
            row = self._db.execute("SELECT key, value, sum FROM records WHERE key = ?", (key,)).fetchone()
        return None if row is None else _value(row)

    def items(self, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Records whose key starts with `prefix`, in the order of their keys."""
        query = "SELECT key, value, sum FROM records WHERE substr(key, 1, ?) = ? ORDER BY key"
        with self._guard():
            rows = self._db.execute(query, (len(prefix), prefix)).fetchall()
        return [(row[0], _value(row)) for row in rows]

    def delete(self, key: str) -> None:
        self._replace(key, None)

    def close(self) -> None:
        """Gives the directory free."""
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _replace(self, key: str, data: bytes | None) -> None:
        rows, total = self._rows, self._sum
        with self._guard(), self._db:
            old = self._db.execute("SELECT sum FROM records WHERE key = ?", (key,)).fetchone()
            if old is not None:
                self._db.execute("DELETE FROM records WHERE key = ?", (key,))
                rows, total = rows - 1, total - int.from_bytes(old[0], "big")
            if data is not None:
                sum_ = _sum(key, data)
                self._db.execute("INSERT INTO records VALUES (?, ?, ?)", (key, data, sum_))
                rows, total = rows + 1, total + int.from_bytes(sum_, "big")
            total %= _MODULUS
            self._db.execute("UPDATE seal SET rows = ?, sum = ?", (rows, total.to_bytes(_SUM_BYTES, "big")))
        self._rows, self._sum = rows, total
        with self._guard():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as problem:
            text = f"the journal in {self._directory} cannot be used: {problem}"
            hint = "is the disk full, or not writable? nothing was sent; make room, and a node goes on by itself"
            raise JournalUnwritable(text, hint=hint) from None
        except sqlite3.DatabaseError as problem:
            raise _damaged(str(problem)) from None


def glance(directory: Path, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Records of a journal that a running node may hold, as of its last `put`: for showing, never for acting.

    Empty if there is no journal yet. Raises JournalProblem.
    """
    path = directory / "journal.db"
    if not path.exists():
        return []
    query = "SELECT key, value, sum FROM records WHERE substr(key, 1, ?) = ? ORDER BY key"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return [(row[0], _value(row)) for row in db.execute(query, (len(prefix), prefix))]
    except sqlite3.DatabaseError as problem:
        raise _damaged(str(problem)) from None


def is_held(directory: Path) -> bool | None:
    """Whether a process has the journal there open; None where the system does not tell. Takes no lock, not for a
    moment: a node that starts meanwhile would find it."""
    try:
        inode = (directory / "lock").stat().st_ino
    except OSError:
        return False
    try:
        held = Path("/proc/locks").read_text()
    except OSError:
        return None
    return any(line.split()[-3].endswith(f":{inode}") for line in held.splitlines() if "FLOCK" in line)


def _lock(directory: Path) -> int:
    """A file descriptor that holds the directory until it is closed, or the process ends, however it ends."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        hint = "stop the other process first, or give this one a directory of its own"
        raise AlreadyRunning(f"another process uses {directory}", hint=hint) from None
    return lock


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    path.chmod(0o600)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not db.execute("SELECT name FROM sqlite_master").fetchall():
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION};")
        db.execute("INSERT INTO seal VALUES (0, ?)", (bytes(_SUM_BYTES),))
        db.commit()
    elif version != VERSION:
        raise JournalProblem(f"{path} has version {version}, this program reads {VERSION}")
    return db


def _check(db: sqlite3.Connection) -> tuple[int, int]:
    """Rows and their sum, once every row and the seal agree. Raises JournalProblem."""
    verdict = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _damaged(verdict)
    rows = total = 0
    for row in db.execute("SELECT key, value, sum FROM records"):
        _value(row)
        rows, total = rows + 1, (total + int.from_bytes(row[2], "big")) % _MODULUS
    if db.execute("SELECT rows, sum FROM seal").fetchall() != [(rows, total.to_bytes(_SUM_BYTES, "big"))]:
        raise _damaged("rows are missing or of another time")
    return rows, total


def _value(row: tuple[str, bytes, bytes]) -> dict[str, Any]:
    key, data, sum_ = row
    if not isinstance(key, str) or not isinstance(data, bytes) or _sum(key, data) != sum_:
        raise _damaged(f"the record {key!r} is not what was written")
    value: dict[str, Any] = json.loads(data)
    return value


def _sum(key: str, data: bytes) -> bytes:
    return sha256(key.encode() + b"\0" + data).digest()[:_SUM_BYTES]


def _damaged(what: str) -> JournalProblem:
    hint = (
        "move the directory away and start again: open jobs are found on the chain, secrets are derived from the keys"
    )
    return JournalProblem(f"the journal is damaged: {what}", hint=hint)
