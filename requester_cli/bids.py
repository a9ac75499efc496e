"""Which bids could be accepted now: signed by who they say, still valid, and with the collateral to back them."""

from collections.abc import Iterable

from heldout.market.chain.reader import Chain
from heldout.market.chain.views import Block
from heldout.market.errors import BadEnvelope, BadInput, BadMessage
from heldout.market.lifecycle import JobState
from heldout.market.messages import Bid, Kind, Letter, bid_of
from heldout.market.sealing import make_envelope
from heldout.requester_cli.duties import Offer, best_offers

MOST_CHECKED = 64
"""Bids looked at, the cheapest first: whoever floods the board can only crowd out bids dearer than its own."""
SPARE_S = 2
"""Seconds a bid must still be valid for, so that the block that accepts it comes in time."""


def valid_offers(chain: Chain, letters: Iterable[Letter], job: JobState, head: Block) -> tuple[Offer, ...]:
    """The best offer of each provider, the cheapest first."""
    bids = [read for letter in letters if (read := _read(letter, job, head)) is not None]
    bids.sort(key=lambda pair: pair[0].price)
    return best_offers(
        [Offer(bid, signature) for bid, signature in bids[:MOST_CHECKED] if _is_backed(chain, bid, signature, job)],
        job.terms.priceCap,
    )


def _read(letter: Letter, job: JobState, head: Block) -> tuple[Bid, bytes] | None:
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


def _is_backed(chain: Chain, bid: Bid, signature: bytes, job: JobState) -> bool:
    digest = bid.digest(chain.network.chain_id, chain.network.market)
    try:
        return (
            chain.verify_signature(bid.provider, digest, signature)
            and not chain.call("bidSpent", bid.provider, bid.nonce)
            and chain.free(bid.provider) >= job.terms.collateral
        )
    except BadInput:  # what the contract's types do not hold; one bid never hides the others
        return False
