"""What the market says at one block, as frozen records. Field names follow IMarket.sol in Python's spelling.

Bit sets of the contract (one bit per lane, place or party) become frozen sets of indices; a party is a lane's number or
`lifecycle.REQUESTER`. Vacant places of a committee hold `lifecycle.VACANT`.
"""

from dataclasses import dataclass
from typing import Any

from heldout.market.lifecycle import Outcome, State
from heldout.market.money import Wei
from heldout.market.terms import Address, BlockNumber, Timestamp


@dataclass(frozen=True)
class Block:
    """One block's place in the chain."""

    number: BlockNumber
    hash: str
    parent: str
    timestamp: Timestamp
    base_fee: Wei

    @staticmethod
    def from_rpc(raw: dict[str, Any]) -> "Block":
        return Block(
            BlockNumber(int(raw["number"], 16)),
            raw["hash"],
            raw["parentHash"],
            Timestamp(int(raw["timestamp"], 16)),
            Wei(int(raw.get("baseFeePerGas") or "0x0", 16)),
        )


@dataclass(frozen=True)
class Recipient:
    """An address, and the X25519 key that envelopes to it are made to."""

    address: Address
    wrap_key: bytes


def bits(mask: int) -> frozenset[int]:
    """Indices of the set bits."""
    return frozenset(i for i in range(mask.bit_length()) if mask >> i & 1)


@dataclass(frozen=True)
class JobView:
    """A job as stored (`getJob`)."""

    state: State
    outcome: Outcome
    lanes: int
    committee: int
    round: int
    deadline: Timestamp
    stage_start: Timestamp
    accept_block: BlockNumber
    seed_block: BlockNumber
    seat_count: int
    submitted: frozenset[int]
    missing: frozenset[int]
    demanded: frozenset[int]
    pending: frozenset[int]
    demanders: frozenset[int]
    result: bytes
    """The standing result word; zero before Scored."""

    @staticmethod
    def from_abi(raw: dict[str, Any]) -> "JobView":
        return JobView(
            State(raw["state"]),
            Outcome(raw["outcome"]),
            raw["lanes"],
            raw["committee"],
            raw["round"],
            raw["deadline"],
            raw["stageStart"],
            raw["acceptBlock"],
            raw["seedBlock"],
            raw["seatCount"],
            bits(raw["submitted"]),
            bits(raw["missing"]),
            bits(raw["demanded"]),
            bits(raw["pending"]),
            bits(raw["demanders"]),
            raw["result"],
        )


@dataclass(frozen=True)
class LaneView:
    """One lane as stored (`getLane`); `word` is 32 zero bytes before `submit`."""

    provider: Address
    price: Wei
    word: bytes


@dataclass(frozen=True)
class RoundView:
    """One round as stored (`getRound`). `seats`, `committed` and `revealed` are by place."""

    size: int
    seed_block: BlockNumber
    seed: bytes
    """32 zero bytes until pinned."""
    seats: tuple[int, ...]
    """Empty until pinned."""
    committed: frozenset[int]
    revealed: frozenset[int]
    result: bytes
    appellant: Address
    appeal_bond: Wei

    @property
    def pinned(self) -> bool:
        return any(self.seed)

    @staticmethod
    def from_abi(raw: dict[str, Any]) -> "RoundView":
        return RoundView(
            raw["size"],
            raw["seedBlock"],
            raw["seed"],
            tuple(raw["seats"]),
            bits(raw["committed"]),
            bits(raw["revealed"]),
            raw["result"],
            raw["appellant"],
            raw["appealBond"],
        )


@dataclass(frozen=True)
class SeatView:
    """One seat as stored (`getSeat`). Block numbers; `exiting_at` is 0 while the seat is live."""

    hot: Address
    active_from: BlockNumber
    exiting_at: BlockNumber
    cold: Address
    stake: Wei

    @staticmethod
    def from_abi(raw: dict[str, Any]) -> "SeatView":
        return SeatView(raw["hot"], raw["activeFrom"], raw["exitingAt"], raw["cold"], raw["stake"])


@dataclass(frozen=True)
class Window:
    """Bounds of a window, in seconds, both inclusive."""

    least: int
    greatest: int


@dataclass(frozen=True)
class Limits:
    """What terms may ask for (P1.5)."""

    bid: Window
    work: Window
    release: Window
    commit: Window
    reveal: Window
    challenge: Window
    shard_bytes: int
    weights_bytes: int
    operations_per_second: int

    def as_tuple(self) -> tuple[Any, ...]:
        """The argument of Market's constructor."""
        windows = (self.bid, self.work, self.release, self.commit, self.reveal, self.challenge)
        sizes = (self.shard_bytes, self.weights_bytes, self.operations_per_second)
        return (*((w.least, w.greatest) for w in windows), *sizes)

    @staticmethod
    def from_abi(raw: dict[str, Any]) -> "Limits":
        return Limits(
            Window(**raw["bid"]),
            Window(**raw["work"]),
            Window(**raw["release"]),
            Window(**raw["commit"]),
            Window(**raw["reveal"]),
            Window(**raw["challenge"]),
            raw["shardBytes"],
            raw["weightsBytes"],
            raw["operationsPerSecond"],
        )


@dataclass(frozen=True)
class Parameters:
    """Everything fixed when the market was deployed."""

    token: Address
    beacon: Address
    seat_stake: Wei
    minimum_fee: Wei
    exit_delay: int
    """Seconds from `exit` to `unstake`: longer than three longest rounds (P5.5)."""
    limits: Limits
