"""What a requester may promise (P2.2, P1.5)."""

from heldout.market.errors import Reverted
from heldout.market.messages import HIGHEST_SCORE
from heldout.market.money import MILLION
from heldout.market.settlement import NOBODY
from heldout.market.terms import JobTerms
from heldout.simulation.rules.world import Limits

MAX_LANES, MAX_PARENTS, MAX_ROYALTIES = 8, 4, 2_000
"""The last in basis points: 20 %."""
LEAST_SHARE = 5
"""Collateral and bond are at least a fifth of what they stand for."""
FEE_OF_STAKE = 32
"""A fee is at most S/32."""


def fifth_up(value: int) -> int:
    """20 %, rounded up."""
    return (value + LEAST_SHARE - 1) // LEAST_SHARE


def check_terms(terms: JobTerms, limits: Limits, minimum_fee: int, seat_stake: int) -> None:
    """Reverts with the name of the first term that is out of range."""
    if terms.committee not in (3, 5, 7):
        raise Reverted("BadCommitteeSize", (terms.committee,))
    if terms.floor == terms.target:
        raise Reverted("FloorEqualsTarget", (terms.floor,))
    check_shape(terms)
    _within("floor", terms.floor, 0, HIGHEST_SCORE)
    _within("target", terms.target, 0, HIGHEST_SCORE)
    _within("floorPay", terms.floorPay, 0, MILLION)
    _within("shards", terms.shards, 16, 64)
    _within("heldOut", terms.heldOut, 4, terms.shards // 2)
    _within("fee", terms.fee, minimum_fee, seat_stake // FEE_OF_STAKE)
    least_collateral = max(terms.committee * terms.fee, fifth_up(terms.priceCap))
    _within("collateral", terms.collateral, least_collateral, 2**96 - 1)
    for name in ("bid", "work", "release", "commit", "reveal", "challenge"):
        _within(f"{name}Window", getattr(terms, f"{name}Window"), *getattr(limits, name))
    _within("shardBytes", terms.shardBytes, 1, limits.shard_bytes)
    _within("weightsBytes", terms.weightsBytes, 1, limits.weights_bytes)
    budget = limits.operations_per_second * terms.commitWindow
    _within("operationCap", terms.operationCap, 1, budget // terms.lanes)


def check_shape(terms: JobTerms) -> None:
    """What every job must be, the agreed ones that no market ever posted included."""
    _within("lanes", terms.lanes, 1, MAX_LANES)
    _within("parents", len(terms.parents), 0, MAX_PARENTS)
    if any(parent.payee == NOBODY for parent in terms.parents):
        raise Reverted("ZeroAddress")
    bps = sum(parent.bps for parent in terms.parents)
    if bps > MAX_ROYALTIES:
        raise Reverted("RoyaltiesTooHigh", (bps,))


def _within(field: str, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise Reverted("TermOutOfRange", (field.encode().ljust(32, b"\0"), value, least, greatest))
