"""How many bytes each address has uploaded today: no address fills a store alone, and no restart forgets."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from heldout.market.errors import Refused
from heldout.market.terms import Address

DAY = 86_400


class Allowance:
    """At most `daily` bytes for each address. Safe for threads. `clock` is unix time."""

    def __init__(self, path: Path, daily: int, clock: Callable[[], float]) -> None:
        self._daily, self._clock = daily, clock
        self._lock = Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS uploaded (day INT, address TEXT, bytes INT, PRIMARY KEY (day, address))"
        )

    def charge(self, address: Address, size: int) -> None:
        """Count an upload, or take it back if `size` is negative. Raises Refused `allowance_used`."""
        day = int(self._clock() // DAY)
        with self._lock:
            self._db.execute("DELETE FROM uploaded WHERE day < ?", (day - 1,))
            row = self._db.execute(
                "SELECT bytes FROM uploaded WHERE day = ? AND address = ?", (day, address)
            ).fetchone()
            total = max(0, (row[0] if row else 0) + size)
            if size > 0 and total > self._daily:
                hint = "upload the rest tomorrow, or to another store"
                raise Refused(f"{address} may upload {self._daily} bytes a day", hint=hint, code="allowance_used")
            self._db.execute("INSERT OR REPLACE INTO uploaded VALUES (?, ?, ?)", (day, address, total))

    def close(self) -> None:
        self._db.close()
