"""Sign-in with Ethereum: EIP-4361 messages, written and read in one way only. Pure.

    ${domain} wants you to sign in with your Ethereum account:
    ${address}

    ${statement}

    URI: ${uri}
    Version: 1
    Chain ID: ${chain-id}
    Nonce: ${nonce}
    Issued At: ${issued-at}
    Expiration Time: ${expiration-time}

Of the standard's optional parts the statement and the expiration are always there and the others never, so a message
has one reading: whatever is parsed and does not write itself back to the same text is refused.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from heldout.market.errors import BadMessage, Refused
from heldout.market.signatures import checksummed
from heldout.market.terms import Address

STATEMENT: Final = "Sign in to Heldout. This moves no money."
LIFETIME: Final = 300
"""Most seconds between a message's issue and its expiration."""
LEEWAY: Final = 30
"""Seconds by which a client's clock may be ahead."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_MESSAGE = re.compile(
    r"(?P<domain>[A-Za-z0-9.:\[\]-]{1,255}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9A-Fa-f]{40})\n\n"
    rf"{re.escape(STATEMENT)}\n\n"
    r"URI: (?P<uri>[!-~]{1,512})\n"
    r"Version: 1\n"
    r"Chain ID: (?P<chain_id>[1-9][0-9]{0,18})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,64})\n"
    r"Issued At: (?P<issued>[0-9TZ:-]{20})\n"
    r"Expiration Time: (?P<expires>[0-9TZ:-]{20})"
)


@dataclass(frozen=True)
class SignIn:
    """One request to sign in. Times are unix seconds."""

    domain: str
    address: Address
    uri: str
    chain_id: int
    nonce: str
    issued: int
    expires: int

    def text(self) -> str:
        """What the wallet shows and signs."""
        return (
            f"{self.domain} wants you to sign in with your Ethereum account:\n{self.address}\n\n{STATEMENT}\n\n"
            f"URI: {self.uri}\nVersion: 1\nChain ID: {self.chain_id}\nNonce: {self.nonce}\n"
            f"Issued At: {_written(self.issued)}\nExpiration Time: {_written(self.expires)}"
        )

    @staticmethod
    def answering(nonce: str, domain: str, address: Address, uri: str, chain_id: int, now: int) -> str:
        """What a client signs for a service that gave it a nonce. Raises BadMessage if it is none: a nonce could put
        other words into what is signed. `now` is unix time."""
        try:
            text = SignIn(domain, address, uri, chain_id, nonce, now, now + LIFETIME).text()
        except (OverflowError, ValueError):  # a service tells the time as well
            raise _unreadable() from None
        SignIn.parse(text)
        return text

    @staticmethod
    def parse(text: str) -> "SignIn":
        """Raises BadMessage for any text that `text()` would not have written."""
        match = _MESSAGE.fullmatch(text)
        if not match:
            raise _unreadable()
        found = match.groupdict()
        try:
            message = SignIn(
                found["domain"],
                checksummed(found["address"]),
                found["uri"],
                int(found["chain_id"]),
                found["nonce"],
                _read(found["issued"]),
                _read(found["expires"]),
            )
        except ValueError:
            raise _unreadable() from None
        if message.text() != text:
            raise _unreadable()
        return message

    def check(self, domain: str, uri: str, chain_id: int, now: float) -> None:
        """That it is meant for this server and this moment. The nonce is for whoever gave it out. Raises Refused."""
        for what, given, wanted in (("domain", self.domain, domain), ("URI", self.uri, uri)):
            if given != wanted:
                raise _refused(f"the {what} is {given}, this server is {wanted}")
        if self.chain_id != chain_id:
            raise _refused(f"the chain is {self.chain_id}, this server's is {chain_id}")
        if not self.issued <= now + LEEWAY or not self.issued < self.expires <= self.issued + LIFETIME:
            raise _refused(f"it must be issued now and expire within {LIFETIME} s")
        if self.expires <= now:
            raise _refused("it has expired")


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def _read(text: str) -> int:
    return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())


def _unreadable() -> BadMessage:
    return BadMessage(
        "not a sign-in message as this server writes it", hint="use the text of EIP-4361", code="bad_sign_in"
    )


def _refused(why: str) -> Refused:
    return Refused(
        f"sign-in refused: {why}", hint="ask for a new nonce and sign again; check the clock", code="sign_in"
    )
