"""The chain and the ledger (P1.3): whose money is where, which seats there are, and what time it is."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

from heldout.market.errors import Reverted
from heldout.market.lifecycle import ChainEvent, JobState, transition
from heldout.market.money import Wei
from heldout.market.settlement import NOBODY
from heldout.market.terms import Address, BlockNumber, JobId, Timestamp, keccak256

REMEMBERED_BLOCKS = 256
"""How many block hashes the EVM knows."""

Window = tuple[int, int]


@dataclass(frozen=True)
class Limits:
    """The bounds of P1.5, as the constructor takes them: (least, greatest) seconds of every window."""

    bid: Window = (10, 604_800)
    work: Window = (10, 604_800)
    release: Window = (10, 604_800)
    commit: Window = (10, 604_800)
    reveal: Window = (10, 604_800)
    challenge: Window = (10, 604_800)
    shard_bytes: int = 2**26
    weights_bytes: int = 2**28
    operations_per_second: int = 10**9

    @property
    def exit_delay(self) -> int:
        """Longer than three longest rounds (P5.5): a window to commit, one after a reseed, one after each of nine
        demands, a reveal, and a challenge with nine demands of its own."""
        commits = 11 * (self.release[1] + self.commit[1])
        challenges = 10 * (self.release[1] + self.challenge[1])
        return 3 * (commits + self.reveal[1] + challenges) + 1


@dataclass(frozen=True)
class Seat:
    """One unit of stake with one vote (P5.1)."""

    hot: Address
    cold: Address
    stake: int
    active_from: int
    exiting_at: int = 0
    withdrawable_at: int = 0


def block_hash(number: int) -> bytes:
    """A hash that nobody chose, for chains that have none of their own; pyrevm's are the same."""
    return keccak256(str(number).encode())


class World:
    """Everything the events so far say. A call is folded event by event, and taken back whole if it is refused."""

    def __init__(self, seat_stake: Wei, minimum_fee: Wei, limits: Limits, *, chain_id: int, address: Address) -> None:
        self.seat_stake, self.minimum_fee, self.limits = seat_stake, minimum_fee, limits
        self.chain_id, self.address = chain_id, address
        self.hash_of: Callable[[int], bytes] = block_hash
        self.now, self.block = 1_800_000_000, 1_000
        self.free: dict[str, int] = {}
        self.seats: dict[int, Seat] = {}
        self.jobs: dict[JobId, JobState] = {}
        self.spent: dict[tuple[str, int], bool] = {}
        self.totals = {"burned": 0, "seat_count": 0, "live": 0, "locked": 0}
        self.vacated: dict[str, tuple[int, ...]] = {"indices": ()}
        self._events: list[ChainEvent] = []
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    def call(self, sender: Address, function: str, *args: Any) -> list[ChainEvent]:
        """One transaction: what it emitted. Raises Reverted, and then nothing has happened."""
        self._events, self._undo = [], []
        try:
            getattr(self, function)(sender, *args)
        except Reverted:
            for mapping, key, old in reversed(self._undo):
                if old is None:
                    del mapping[key]
                else:
                    mapping[key] = old
            raise
        return self._events

    def copy(self) -> Self:
        """The same world, to go on with in another way. What is in it never changes, only what is in its tables."""
        other = copy(self)
        for name in ("free", "seats", "jobs", "spent", "totals", "vacated"):
            setattr(other, name, dict(getattr(self, name)))
        return other

    def wealth(self, account: Address) -> int:
        """Free balance and stakes."""
        return self.free.get(account, 0) + sum(seat.stake for seat in self.seats.values() if seat.cold == account)

    def pass_time(self, seconds: int, blocks: int = 1) -> None:
        self.now += seconds
        self.block += blocks

    def seed_of(self, block: int) -> bytes:
        """Zero if the hash is gone (P5.3). Reverts while the block is not there yet."""
        if self.block <= block:
            raise Reverted("SeedNotReady", (self.block, block))
        return self.hash_of(block) if self.block - block <= REMEMBERED_BLOCKS else bytes(32)

    # ---------------------------------------------------------------------------------------------- emitting

    def emit(self, name: str, **args: Any) -> None:
        number = len(self._events)
        block = BlockNumber(self.block)
        event = ChainEvent(name, args, block, "", f"tx {self.block}", number, Timestamp(self.now))
        self._events.append(event)
        if event.job is not None:
            folded = transition(self.jobs.get(event.job), event)
            if folded is not None:
                self._set(self.jobs, event.job, folded)
        if apply := _APPLIES.get(name):
            apply(self, event)

    def require_free(self, account: Address, amount: int) -> None:
        if self.free.get(account, 0) < amount:
            raise Reverted("InsufficientFree", (account, self.free.get(account, 0), amount))

    def _set(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((mapping, key, mapping.get(key)))
        mapping[key] = value

    def _move(self, account: str, amount: int) -> None:
        self._set(self.free, account, self.free.get(account, 0) + amount)

    def _add(self, total: str, amount: int) -> None:
        self._set(self.totals, total, self.totals[total] + amount)

    # ----------------------------------------------------------------------------------------------- folding

    def _deposited(self, event: ChainEvent) -> None:
        self._move(event.args["account"], event.args["amount"])

    def _withdrawn(self, event: ChainEvent) -> None:
        self._move(event.args["account"], -event.args["amount"])

    def _locked(self, event: ChainEvent) -> None:
        self._move(event.args["from"], -event.args["amount"])
        self._add("locked", event.args["amount"])

    def _paid(self, event: ChainEvent) -> None:
        to, amount = event.args["to"], event.args["amount"]
        self._add("locked", -amount)
        if to == NOBODY:
            self._add("burned", amount)
        else:
            self._move(to, amount)

    def _slashed(self, event: ChainEvent) -> None:
        """Out of a seat, into a job: locked both before and after."""
        seat = self.seats[event.args["seat"]]
        self._set(self.seats, event.args["seat"], replace(seat, stake=seat.stake - event.args["amount"]))

    def _staked(self, event: ChainEvent) -> None:
        index, cold = event.args["seat"], event.args["cold"]
        self._set(self.seats, index, Seat(event.args["hot"], cold, self.seat_stake, event.block))
        self._move(cold, -self.seat_stake)
        self._add("locked", self.seat_stake)
        self._add("live", 1)
        if index == self.totals["seat_count"]:
            self._add("seat_count", 1)
        else:
            self._set(self.vacated, "indices", self.vacated["indices"][:-1])

    def _rotated(self, event: ChainEvent) -> None:
        index = event.args["seat"]
        self._set(self.seats, index, replace(self.seats[index], hot=event.args["hot"]))

    def _exiting(self, event: ChainEvent) -> None:
        index, at = event.args["seat"], event.args["withdrawableAt"]
        self._set(self.seats, index, replace(self.seats[index], exiting_at=event.block, withdrawable_at=at))
        self._add("live", -1)

    def _unstaked(self, event: ChainEvent) -> None:
        index, amount = event.args["seat"], event.args["amount"]
        self._undo.append((self.seats, index, self.seats.pop(index)))
        self._set(self.vacated, "indices", (*self.vacated["indices"], index))
        self._move(event.args["cold"], amount)
        self._add("locked", -amount)

    def _bid_cancelled(self, event: ChainEvent) -> None:
        self._set(self.spent, (event.args["provider"], event.args["nonce"]), True)


_APPLIES: dict[str, Callable[[World, ChainEvent], None]] = {
    "Deposited": World._deposited,
    "Withdrawn": World._withdrawn,
    "Locked": World._locked,
    "Paid": World._paid,
    "Slashed": World._slashed,
    "Staked": World._staked,
    "Rotated": World._rotated,
    "Exiting": World._exiting,
    "Unstaked": World._unstaked,
    "BidCancelled": World._bid_cancelled,
}
