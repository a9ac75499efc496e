"""One intent and every transaction that was ever signed for it, as the journal keeps it."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from heldout.market.chain.fees import Fees, Urgency
from heldout.market.lifecycle import ChainEvent
from heldout.market.terms import BlockNumber


class Status(StrEnum):
    OPEN = "open"
    """Signed; perhaps broadcast, perhaps mined, not yet deep enough."""
    DONE = "done"
    """Mined, successful, and as deep as the network's confirmations."""
    FAILED = "failed"
    """Mined and reverted, or given up because the contract would refuse it now. The intent may be tried again."""


@dataclass(frozen=True)
class Attempt:
    """One signed transaction."""

    hash: str
    raw: str
    nonce: int
    max_fee: int
    tip: int
    block: int
    """Head when it was first broadcast: its age is counted from here."""

    @property
    def fees(self) -> Fees:
        return Fees(self.max_fee, self.tip)


@dataclass(frozen=True)
class Sending:
    """An intent under way. All attempts are kept: any that shares the last nonce may be the one that is mined."""

    intent: str
    to: str
    data: str
    value: int
    gas: int
    urgency: Urgency
    status: Status
    attempts: tuple[Attempt, ...]
    past: tuple[str, ...] = ()
    """Hashes whose nonce was used by somebody else."""

    @property
    def nonce(self) -> int:
        return self.attempts[-1].nonce

    @property
    def hashes(self) -> tuple[str, ...]:
        return tuple(attempt.hash for attempt in self.attempts)

    def tried(self, attempt: Attempt) -> "Sending":
        """With one more attempt; one of another nonce retires those before it."""
        if not self.attempts or attempt.nonce == self.nonce:
            return replace(self, attempts=(*self.attempts, attempt))
        return replace(self, attempts=(attempt,), past=(*self.past, *self.hashes))

    def with_status(self, status: Status) -> "Sending":
        return replace(self, status=status)

    def to_record(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_record(raw: dict[str, Any]) -> "Sending":
        parts = {
            "urgency": Urgency(raw["urgency"]),
            "status": Status(raw["status"]),
            "attempts": tuple(Attempt(**attempt) for attempt in raw["attempts"]),
            "past": tuple(raw["past"]),
        }
        return Sending(**{**raw, **parts})


@dataclass(frozen=True)
class Receipt:
    """A mined transaction. `ok` is False if the contract reverted it."""

    intent: str
    hash: str
    block: BlockNumber
    ok: bool
    gas_used: int
    cost: int
    """Gas money, in wei."""
    events: tuple[ChainEvent, ...]
    """The market's events in it."""


@dataclass(frozen=True)
class Pending:
    """Journalled, not mined yet; `Outbox.poll` looks after it."""

    intent: str
    nonce: int
    hashes: tuple[str, ...]
