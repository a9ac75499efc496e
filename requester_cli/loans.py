"""Keys for one data set, lent to a page that seals it (docs/decisions/0023).

A page of the market service seals data in the browser, but the keys are the requester's: they are derived from the key
ring, for a fresh salt, wrapped to a key that the page made for this once, and carried over by hand. Whatever becomes of
the page, the ring can derive them again from the salt, which is also the terms' salt and hence on chain.

    line       "heldout-lent-1." ‖ base64url(canonical JSON)
    envelope   order key ‖ one key for each shard, wrapped as in heldout.market.sealing
"""

import base64
import re
from dataclasses import dataclass

from heldout.market import sealing
from heldout.market.errors import BadEnvelope, BadInput, BadMessage
from heldout.market.jsontext import canonical_json, read_json
from heldout.market.keys import KeyRing
from heldout.market.signatures import checksummed

PREFIX = "heldout-lent-1."
_CONTEXT = b"heldout/lent-keys/v1"
KEY_BYTES = 32


@dataclass(frozen=True)
class Loan:
    """Keys of `shards` shards under `salt`, wrapped to the X25519 key of a page, or of a keeper."""

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

    @staticmethod
    def read(line: str) -> "Loan":
        """What `line` wrote. Raises BadInput."""
        body = line.strip().removeprefix(PREFIX)
        try:
            told = read_json(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
            wrap_key, salt, envelope = (_bytes(told[name]) for name in ("wrap_key", "salt", "envelope"))
            loan = Loan(checksummed(str(told["address"])), wrap_key, salt, int(told["shards"]), envelope)
        except (BadMessage, KeyError, TypeError, ValueError, OverflowError):
            loan = None
        if loan is None or len(loan.salt) != KEY_BYTES or len(loan.wrap_key) != KEY_BYTES:
            hint = "copy the whole line that `heldout requester lend` printed"
            raise BadInput("this is no line of lent keys", hint=hint, code="bad_loan")
        return loan

    def open(self, private_key: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """The order key, and one key for each shard. Raises BadEnvelope if it is wrapped to another key."""
        context = loan_context(self.address, self.wrap_key, self.salt)
        lent = sealing.open_envelope(private_key, self.envelope, context)
        keys = tuple(lent[at : at + KEY_BYTES] for at in range(0, len(lent), KEY_BYTES))
        if len(lent) != KEY_BYTES * (self.shards + 1):
            raise BadEnvelope(f"{self.shards} shards were lent {len(keys)} keys")
        return keys[0], keys[1:]


def lend_keys(keys: KeyRing, page_key: bytes, salt: bytes, shards: int) -> Loan:
    """Raises BadEnvelope if the page's key is none."""
    secret = keys.data_secret
    lent = sealing.order_key(secret, salt) + b"".join(sealing.shard_key(secret, salt, index) for index in range(shards))
    context = loan_context(keys.address, keys.wrap_public, salt)
    envelope = sealing.make_envelope(keys.seed(b"lent", page_key, salt), page_key, lent, context)
    return Loan(keys.address, keys.wrap_public, salt, shards, envelope)


def loan_context(address: str, wrap_key: bytes, salt: bytes) -> bytes:
    """Associated data of the envelope: nothing said beside it can be exchanged."""
    return b"\0".join((_CONTEXT, address.lower().encode(), wrap_key, salt))


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not re.fullmatch("([0-9a-f]{2})+", text):
        raise ValueError("not hexadecimal")
    return bytes.fromhex(text)
