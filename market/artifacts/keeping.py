"""Who keeps which artifact in a store, until when, and on whose account.

    upload or pin ──▶ a pin: (artifact, address), its bytes count on that address's quota while it stands
    a pin ends      `keep` seconds after it was last set, or after the address's last job ended, whichever is later;
                    never while the address is requester or provider of a job that goes on
    a dropped pin   ends as soon as no such job goes on
    collected       is an artifact of which no pin stands

So nothing of a live job is removed, whatever its parties do, and everybody else pays for what they want kept. SQLite in
one file: a pin is on the disk before its bytes are, and an artifact without a pin (a crash, an older store) gets one of
nobody's.
"""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import RLock
from typing import Final, NamedTuple

from heldout.market.artifacts.blob import ArtifactId
from heldout.market.errors import Refused
from heldout.market.terms import Address

NOBODY: Final = Address("0x" + "00" * 20)
"""Whose pins are of artifacts that were here before anybody was asked."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS pins (
    artifact TEXT, address TEXT, bytes INT NOT NULL, until INT NOT NULL, dropped INT NOT NULL DEFAULT 0,
    PRIMARY KEY (artifact, address)
);
CREATE INDEX IF NOT EXISTS pins_of ON pins (address);
CREATE TABLE IF NOT EXISTS parties (job TEXT, address TEXT, ended INT, PRIMARY KEY (job, address));
CREATE INDEX IF NOT EXISTS jobs_of ON parties (address);
CREATE TABLE IF NOT EXISTS followed (id INT PRIMARY KEY, block INT NOT NULL);
"""
_END: Final = """
CASE WHEN EXISTS (SELECT 1 FROM parties WHERE parties.address = pins.address AND ended IS NULL) THEN NULL
     WHEN dropped THEN 0
     ELSE MAX(until, COALESCE((SELECT MAX(ended) FROM parties WHERE parties.address = pins.address), 0) + :keep) END
"""
"""When a pin ends, unix seconds; NULL while a job of its address goes on."""


class Pin(NamedTuple):
    """`until` is unix seconds, None while a job of the address goes on; `dropped` ones end as soon as none does."""

    artifact: ArtifactId
    address: Address
    bytes: int
    until: int | None
    dropped: bool


class Keeping:
    """At most `quota` bytes for each address, each kept for `keep` seconds. Safe for threads. `clock` is unix time."""

    def __init__(self, path: Path, quota: int, keep: int, clock: Callable[[], float]) -> None:
        self.quota, self.keep, self._clock = quota, keep, clock
        self.lock = RLock()
        """Held while an artifact is removed: whoever has pinned it before then finds it, or uploads it again."""
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_TABLES)

    def pin(self, artifact: ArtifactId, address: Address, size: int) -> bool:
        """Set a pin, or set it anew; whether it is a new one. It never counts fewer bytes than before.

        Raises Refused `quota_used`, then nothing has changed.
        """
        until = int(self._clock()) + self.keep
        with self.lock:
            known = self._db.execute(
                "SELECT bytes FROM pins WHERE artifact = ? AND address = ?", (artifact, address.lower())
            ).fetchone()
            before = known[0] if known else 0
            size = max(size, before)
            if size > before and self.used(address) - before + size > self.quota:
                hint = "drop pins you no longer need (`heldout store unpin`), or use another store"
                raise Refused(f"{address} may have {self.quota} bytes kept here", hint=hint, code="quota_used")
            row = (artifact, address.lower(), size, until)
            self._db.execute("INSERT OR REPLACE INTO pins (artifact, address, bytes, until) VALUES (?, ?, ?, ?)", row)
            return known is None

    def drop(self, artifact: ArtifactId, address: Address) -> bool:
        """No longer wanted by that address; False if it had no pin on it."""
        query = "UPDATE pins SET dropped = 1 WHERE artifact = ? AND address = ?"
        with self.lock:
            return self._db.execute(query, (artifact, address.lower())).rowcount == 1

    def drop_all(self, address: Address) -> int:
        """Nothing is wanted by that address any longer: how many pins that were."""
        with self.lock:
            query = "UPDATE pins SET dropped = 1 WHERE address = ? AND NOT dropped"
            return self._db.execute(query, (address.lower(),)).rowcount

    def forget(self, artifact: ArtifactId, address: Address | None = None) -> None:
        """Take pins away whose bytes are not here: of one address, or all."""
        with self.lock:
            query = "DELETE FROM pins WHERE artifact = :artifact AND (:address IS NULL OR address = :address)"
            self._db.execute(query, {"artifact": artifact, "address": address and address.lower()})

    def adopt(self, artifacts: Iterable[tuple[ArtifactId, int]]) -> None:
        """Pins of nobody's for artifacts that have none."""
        until = int(self._clock()) + self.keep
        query = """INSERT INTO pins (artifact, address, bytes, until) SELECT :artifact, :address, :size, :until
                   WHERE NOT EXISTS (SELECT 1 FROM pins WHERE artifact = :artifact)"""
        with self.lock:
            for artifact, size in artifacts:
                row = {"artifact": artifact, "address": NOBODY, "size": size, "until": until}
                self._db.execute(query, row)

    def used(self, address: Address) -> int:
        """Bytes on the address's account."""
        with self.lock:
            query = "SELECT COALESCE(SUM(bytes), 0) FROM pins WHERE address = ?"
            (total,) = self._db.execute(query, (address.lower(),)).fetchone()
        return int(total)

    def pins(self, *, artifact: str = "", address: str = "", after: str = "", limit: int = 500) -> list[Pin]:
        """Pins on an artifact, or of an address, in the order of their artifacts."""
        query = f"""SELECT artifact, address, bytes, {_END}, dropped FROM pins
                    WHERE (:artifact = '' OR artifact = :artifact) AND (:address = '' OR address = :address)
                      AND artifact > :after ORDER BY artifact, address LIMIT :limit"""
        words = {"artifact": artifact, "address": address.lower(), "after": after, "limit": limit, "keep": self.keep}
        with self.lock:
            rows = self._db.execute(query, words).fetchall()
        return [Pin(ArtifactId(row[0]), Address(row[1]), row[2], row[3], bool(row[4])) for row in rows]

    def ended(self, limit: int = 500) -> list[ArtifactId]:
        """Artifacts of which no pin stands."""
        query = f"""SELECT artifact FROM (SELECT artifact, {_END} AS ends FROM pins) GROUP BY artifact
                    HAVING SUM(ends IS NULL OR ends > :now) = 0 LIMIT :limit"""
        words = {"keep": self.keep, "now": self._clock(), "limit": limit}
        with self.lock:
            return [ArtifactId(artifact) for (artifact,) in self._db.execute(query, words)]

    def stands(self, artifact: ArtifactId) -> bool:
        """Whether a pin of it stands now."""
        now = self._clock()
        return any(pin.until is None or pin.until > now for pin in self.pins(artifact=artifact, limit=-1))

    def totals(self) -> tuple[int, int, int]:
        """Accounts, artifacts, and their bytes once each."""
        kept = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM (SELECT MAX(bytes) AS size FROM pins GROUP BY artifact)"
        with self.lock:
            (accounts,) = self._db.execute("SELECT COUNT(DISTINCT address) FROM pins").fetchone()
            artifacts, size = self._db.execute(kept).fetchone()
        return accounts, artifacts, size

    # ---------------------------------------------------------------------------------------------- live jobs

    def followed(self) -> int | None:
        """The last block whose jobs are known."""
        row = self._db.execute("SELECT block FROM followed").fetchone()
        return row[0] if row else None

    def learn(self, parties: Iterable[tuple[str, str]], ended: Iterable[tuple[str, int]], block: int) -> None:
        """Who has joined which job, which jobs have ended (unix seconds), up to a block; all at once."""
        with self.lock:
            self._db.execute("BEGIN IMMEDIATE")
            joined = [(job, address.lower()) for job, address in parties]
            self._db.executemany("INSERT OR IGNORE INTO parties (job, address) VALUES (?, ?)", joined)
            self._db.executemany("UPDATE parties SET ended = ? WHERE job = ?", [(at, job) for job, at in ended])
            self._db.execute("INSERT OR REPLACE INTO followed VALUES (0, ?)", (block,))
            self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()
