"""`heldout requester lend`: keys for one data set, for a page that seals it (docs/decisions/0020).

A page of the market service seals data in the browser, but the keys are the requester's: they are derived from the key
ring, for a fresh salt, wrapped to a key that the page made for this once, and carried over by hand. Whatever becomes of
the page, the ring can derive them again from the salt, which is also the terms' salt and hence on chain.

    line       "heldout-lent-1." ‖ base64url(canonical JSON)
    envelope   order key ‖ one key for each shard, wrapped as in heldout.market.sealing
"""

import argparse
import base64
import re
import secrets
from dataclasses import dataclass

from heldout.market import sealing
from heldout.market.console import emit, home_path, say
from heldout.market.errors import BadInput, Refused
from heldout.market.jsontext import canonical_json
from heldout.market.keys import KeyRing
from heldout.requester_cli.dataset import order_key
from heldout.requester_cli.session import signing

PREFIX = "heldout-lent-1."
_CONTEXT = b"heldout/lent-keys/v1"
_CODE = re.compile(r"[0-9a-f]{64}")


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


def lend_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", help="the code that the page shows, 64 hexadecimal digits")
    parser.add_argument("--shards", type=int, default=20, help="how many the data is sealed into (default: 20)")
    parser.add_argument("--elsewhere", action="store_true", help="another machine runs `heldout requester run`")


def lend(args: argparse.Namespace) -> int:
    """Lend a page of the market the keys to seal one data set with. They are fresh, derived from your key ring, and
    wrapped to the page that shows CODE: the line that is printed is of no use to anybody else. Paste it into the page.
    `heldout requester run` must be running: from the job's acceptance on it releases the keys in time, whether or not
    the page is still open, and without it your bond is at stake."""
    if not _CODE.fullmatch(args.code):
        raise BadInput("a page's code has 64 hexadecimal digits", hint="copy it from the page", code="bad_code")
    if not 16 <= args.shards <= 64:
        raise BadInput("data is sealed into 16 to 64 shards", code="bad_input")
    with signing(args) as client:
        if not args.elsewhere and not _is_kept(args):
            hint = "start it in another terminal, or add --elsewhere if another machine runs it"
            raise Refused("`heldout requester run` is not running for these keys", hint=hint, code="nobody_keeps")
        loan = lend_keys(client.keys, bytes.fromhex(args.code), secrets.token_bytes(32), args.shards)
    emit(args, {"line": loan.line(), "salt": loan.salt.hex()}, loan.line())
    say("paste this line into the page; it opens nowhere else")
    return 0


def _is_kept(args: argparse.Namespace) -> bool:
    """Whether a process holds the keeper's journal."""
    from heldout.market.errors import AlreadyRunning
    from heldout.market.journal import Journal

    try:
        Journal(home_path(args) / "journals" / "keeper").close()
    except AlreadyRunning:
        return True
    return False
