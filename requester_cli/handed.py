"""Keys that others handed to this keeper, on disk as they came: wrapped to its key ring, one line a data set.

    FOLDER/<SHA-256 of address and salt>.line

A line is never replaced: its requester has posted on the strength of it. Lines whose job never came are forgotten.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, BadInput, Refused
from heldout.market.keys import KeyRing
from heldout.market.terms import Address
from heldout.requester_cli.loans import Loan

MOST_WAITING: Final = 1_000
"""Data sets whose job has not been seen yet."""
PATIENCE_S: Final = 2 * 86_400
"""For which a data set waits for its job."""
SHARDS: Final = range(16, 65)


@dataclass(frozen=True)
class Handed:
    """Shard keys of one requester's data set. Satisfies letters.Holder."""

    address: Address
    salt: bytes
    order: bytes
    keys: tuple[bytes, ...]

    def order_key(self, salt: bytes) -> bytes:
        """Raises BadInput for another data set than the one that was handed over."""
        self._check(salt)
        return self.order

    def shard_key(self, salt: bytes, index: int) -> bytes:
        """As `order_key`; also if there are fewer shards."""
        self._check(salt)
        if index >= len(self.keys):
            raise BadInput(f"keys of {len(self.keys)} shards were handed over", code="other_shards")
        return self.keys[index]

    def _check(self, salt: bytes) -> None:
        if salt != self.salt:
            raise BadInput("these keys are of another data set", code="other_shards")


class Shelf:
    """Lines in a folder, opened with one key ring. `clock` is unix time. Safe for threads."""

    def __init__(self, folder: Path, ring: KeyRing, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._ring, self._clock = folder, ring, clock
        self._lock = Lock()
        self._awaited: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known: dict[str, Handed] = {}
        for path in sorted(folder.glob("*.line")):
            self._known[path.stem] = self._open(Loan.read(path.read_text()))
            self._awaited[path.stem] = path.stat().st_mtime

    def take(self, line: str) -> Handed:
        """Keep what a line lends. Raises BadInput for what is none or is not for this keeper, Refused."""
        handed = self._open(Loan.read(line))
        name = _name(handed.address, handed.salt)
        with self._lock:
            if known := self._known.get(name):
                if known.keys != handed.keys:
                    raise Refused("other keys are kept for this data set", hint="seal anew", code="kept_already")
                return known
            self._forget_stale()
            if len(self._awaited) >= MOST_WAITING:
                raise Refused("this keeper has enough to wait for", hint="try again later", code="keeper_full")
            write_whole(self._folder / f"{name}.line", line.strip().encode())
            self._known[name], self._awaited[name] = handed, self._clock()
        return handed

    def find(self, address: str, salt: bytes) -> Handed | None:
        """The keys for a job's terms, which has now come."""
        name = _name(address, salt)
        with self._lock:
            self._awaited.pop(name, None)
            return self._known.get(name)

    def forget(self, handed: Handed) -> None:
        """When its job has ended."""
        with self._lock:
            self._drop(_name(handed.address, handed.salt))

    def _forget_stale(self) -> None:
        for name, came in list(self._awaited.items()):
            if came + PATIENCE_S < self._clock():
                self._drop(name)

    def _drop(self, name: str) -> None:
        self._known.pop(name, None)
        self._awaited.pop(name, None)
        (self._folder / f"{name}.line").unlink(missing_ok=True)

    def _open(self, loan: Loan) -> Handed:
        try:
            order, keys = loan.open(self._ring.wrap_private)
        except BadEnvelope:
            hint = "the page seals to the key that the service lists for a keeper: its operator may have changed it"
            raise BadInput("these keys are not wrapped to this keeper", hint=hint, code="other_keeper") from None
        if len(keys) not in SHARDS:
            raise BadInput("data is sealed into 16 to 64 shards", code="bad_loan")
        return Handed(Address(loan.address), loan.salt, order, keys)


def _name(address: str, salt: bytes) -> str:
    return sha256(bytes.fromhex(address[2:]) + salt).hexdigest()
