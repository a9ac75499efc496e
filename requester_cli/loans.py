"""Keys for one data set, lent to a page that seals it (docs/decisions/0020).

A page of the market service seals data in the browser, but the keys are the requester's: they are derived from the key
ring, for a fresh salt, wrapped to a key that the page made for this once, and carried over by hand. Whatever becomes of
the page, the ring can derive them again from the salt, which is also the terms' salt and hence on chain.

    line       "heldout-lent-1." ‖ base64url(canonical JSON)
    envelope   order key ‖ one key for each shard, wrapped as in heldout.market.sealing
"""

import base64
from dataclasses import dataclass

from heldout.market import sealing
from heldout.market.jsontext import canonical_json
from heldout.market.keys import KeyRing
from heldout.requester_cli.dataset import order_key

PREFIX = "heldout-lent-1."
_CONTEXT = b"heldout/lent-keys/v1"


@dataclass(frozen=True)
class Loan:
    """Keys of `shards` shards under `salt`, wrapped to the page's X25519 key."""

    address: str
    wrap_key: bytes
    salt: bytes
    shards: int
    envelope: bytes

    def line(self) -> str:
        """What is pasted into the page."""
        told = {
            "address": self.address,
            "wrap_key": self.wrap_key.hex(),
            "salt": self.salt.hex(),
            "shards": self.shards,
            "envelope": self.envelope.hex(),
        }
        return PREFIX + base64.urlsafe_b64encode(canonical_json(told)).decode().rstrip("=")


def lend_keys(keys: KeyRing, page_key: bytes, salt: bytes, shards: int) -> Loan:
    """Raises BadEnvelope if the page's key is none."""
    secret = keys.data_secret
    lent = order_key(secret, salt) + b"".join(sealing.shard_key(secret, salt, index) for index in range(shards))
    context = loan_context(keys.address, keys.wrap_public, salt)
    envelope = sealing.make_envelope(keys.seed(b"lent", page_key, salt), page_key, lent, context)
    return Loan(keys.address, keys.wrap_public, salt, shards, envelope)


def loan_context(address: str, wrap_key: bytes, salt: bytes) -> bytes:
    """Associated data of the envelope: nothing said beside it can be exchanged."""
    return b"\0".join((_CONTEXT, address.lower().encode(), wrap_key, salt))
