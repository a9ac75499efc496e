"""What a transaction offers for its place in a block (EIP-1559), and what its replacement must offer. Pure."""

from dataclasses import dataclass
from enum import IntEnum

GWEI = 10**9


class Urgency(IntEnum):
    """What may cost more than the rest, and may use up the gas reserve: missing a reveal costs a seat most (P3)."""

    NORMAL = 0
    SUBMIT = 1
    COMMIT = 2
    REVEAL = 3


@dataclass(frozen=True)
class Fees:
    """Wei per gas."""

    max_fee: int
    tip: int


@dataclass(frozen=True)
class FeePolicy:
    """How much a node pays at most, and how long it waits before it pays more."""

    cap: int = 200 * GWEI
    """Wei per gas for NORMAL; each step of urgency may go to one cap more."""
    patience: int = 3
    """Blocks after a broadcast before it is replaced."""
    reserve_gas: int = 0
    """Gas that NORMAL and SUBMIT must leave affordable, so that commits and reveals never fail for gas money."""

    def cap_of(self, urgency: Urgency) -> int:
        return self.cap * (1 + urgency)


def opening(base: int, tip: int, urgency: Urgency, policy: FeePolicy) -> Fees:
    """First offer: room for the base fee to double, within the cap."""
    tip = tip * (1 + urgency)
    max_fee = min(2 * base + tip, policy.cap_of(urgency))
    return Fees(max_fee, min(tip, max_fee))


def bumped(previous: Fees, base: int, tip: int, urgency: Urgency, policy: FeePolicy) -> Fees | None:
    """The offer of a replacement: at least one eighth more in both parts, since nodes refuse less than a tenth.

    None if the cap leaves no room: then the last offer stands and waits.
    """
    least = Fees(_eighth_more(previous.max_fee), _eighth_more(previous.tip))
    cap = policy.cap_of(urgency)
    if least.max_fee > cap:
        return None
    wanted = opening(base, tip, urgency, policy)
    max_fee = min(max(least.max_fee, wanted.max_fee), cap)
    return Fees(max_fee, min(max(least.tip, wanted.tip), max_fee))


def _eighth_more(wei: int) -> int:
    return wei + -(-wei // 8)
