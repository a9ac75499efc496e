"""A keeper as a market service lists it: whose letters it takes, whom a page seals keys to, and where it listens."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from heldout.market.errors import BadInput
from heldout.market.signatures import checksummed
from heldout.market.terms import Address

_WRAP_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class OfferedKeeper:
    """`wrap_key` is an X25519 public key: what is sealed to it needs no trust in whoever carries it."""

    address: Address
    wrap_key: bytes
    url: str

    def __str__(self) -> str:
        return f"{self.address},{self.wrap_key.hex()},{self.url}"

    @staticmethod
    def parse(text: str) -> "OfferedKeeper":
        """`ADDRESS,WRAPKEY,URL`, as `heldout requester keep` prints it. Raises BadInput."""
        address, _, rest = text.partition(",")
        wrap_key, _, url = rest.partition(",")
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.username)
        if not plain or re.search(r"[\s;,]", url) or not _WRAP_KEY.fullmatch(wrap_key):
            hint = "copy what `heldout requester keep` prints: ADDRESS,WRAPKEY,URL"
            raise BadInput(f"{text[:200]!r} names no keeper", hint=hint, code="bad_keeper")
        return OfferedKeeper(checksummed(address), bytes.fromhex(wrap_key), url.rstrip("/"))
