"""Which bids could be accepted now: signed by who they say, still valid, and with the collateral to back them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from heldout.market.chain.reader import Chain
from heldout.market.chain.views import Block
from heldout.market.errors import BadEnvelope, BadInput, BadMessage
from heldout.market.lifecycle import JobState
from heldout.market.messages import Bid, Kind, Letter, bid_of
from heldout.market.sealing import make_envelope
from heldout.requester_cli.duties import Offer, best_offers

MOST_BIDDERS: Final = 4_000
MOST_CHECKED: Final = 1_000
"""Bids of bidders who have the collateral whose signature is looked at, the cheapest first: to crowd others out, one
needs hundreds of collaterals at once, and may have to deliver."""
TOGETHER: Final = 100
"""Questions in one request."""
SPARE_S: Final = 2
"""Seconds a bid must still be valid for, so that the block that accepts it comes in time."""

Signed = tuple[Bid, bytes]


def valid_offers(chain: Chain, letters: Iterable[Letter], job: JobState, head: Block) -> tuple[Offer, ...]:
    """The best offer of each provider, the cheapest first. What is cheap to find out is looked at first, of all."""
    bids = [read for letter in letters if (read := _read(letter, job, head)) is not None]
    bids.sort(key=lambda pair: (pair[0].price, -pair[0].validUntil))
    signed = [pair for pair in _funded(chain, bids, job)[:MOST_CHECKED] if _is_signed(chain, *pair)]
    spent = _ask(chain, "bidSpent", [(bid.provider, bid.nonce) for bid, _ in signed])
    offers = [Offer(bid, signature) for (bid, signature), gone in zip(signed, spent, strict=True) if not gone]
    return best_offers(offers, job.terms.priceCap)


def _read(letter: Letter, job: JobState, head: Block) -> Signed | None:
    """What costs no request to find out."""
    if letter.kind is not Kind.BID or letter.job != job.id:
        return None
    try:
        bid, signature = bid_of(letter)
    except (BadMessage, ValueError):
        return None
    in_bounds = 0 < bid.price <= job.terms.priceCap and bid.validUntil >= head.timestamp + SPARE_S
    return (bid, signature) if in_bounds and _can_wrap_to(bid.wrapKey) else None


def _can_wrap_to(key: bytes) -> bool:
    """Whether training keys could be sent to this provider at all."""
    try:
        make_envelope(bytes(32), key, b"", b"")
    except (BadEnvelope, ValueError):
        return False
    return True


def _funded(chain: Chain, bids: Sequence[Signed], job: JobState) -> list[Signed]:
    bidders = list(dict.fromkeys(bid.provider.lower() for bid, _ in bids))[:MOST_BIDDERS]
    free = dict(zip(bidders, _ask(chain, "free", [(bidder,) for bidder in bidders]), strict=True))
    return [pair for pair in bids if free.get(pair[0].provider.lower(), -1) >= job.terms.collateral]


def _is_signed(chain: Chain, bid: Bid, signature: bytes) -> bool:
    digest = bid.digest(chain.network.chain_id, chain.network.market)
    try:
        return chain.verify_signature(bid.provider, digest, signature)
    except BadInput:  # what the contract's types do not hold; one bid never hides the others
        return False


def _ask(chain: Chain, function: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    parts = (arguments[start : start + TOGETHER] for start in range(0, len(arguments), TOGETHER))
    return [answer for part in parts for answer in chain.calls(function, part)]
