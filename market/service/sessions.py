"""Who is calling: a wallet's signature under a single-use nonce (EIP-4361) buys a short JWT; nothing else is believed.

A session may write letters in its address's name and read that address's mailbox. It can never move money.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from heldout.market.errors import BadMessage, KeyProblem, Refused
from heldout.market.service import database as db
from heldout.market.service.tokens import LEEWAY, Claims, read_token, write_token
from heldout.market.settings import Network
from heldout.market.signatures import SIGNATURE_BYTES, checksummed, personal_digest
from heldout.market.siwe import LIFETIME, SignIn
from heldout.market.terms import Address

SESSION: Final = 900
"""Seconds a token is good for."""
_CHANCE: Final = 12
_EXPIRY: Final = 5
_MARK: Final = 14
"""Bytes of a nonce's parts: 62 hex digits in all."""
_SECRET_BYTES: Final = 32
_MOST_SIGNATURE: Final = 4096
"""Bytes: contract wallets may have longer signatures than keys do."""


class Session(NamedTuple):
    """Whom a token speaks for. Times are unix seconds."""

    address: Address
    began: int
    expires: int


class Verifier(Protocol):
    """What sign-in needs of heldout.market.chain.Chain."""

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool: ...


class Sessions:
    """`url` is the service's public address; `clock` is unix time."""

    def __init__(
        self, engine: Engine, chain: Verifier, network: Network, url: str, secret: bytes, clock: Callable[[], float]
    ) -> None:
        self._engine, self._chain, self._clock, self._secret = db.writing(engine), chain, clock, secret
        self._chain_id, self._url = network.chain_id, url
        self._audience = f"heldout:{network.chain_id}:{network.market.lower()}"

    def nonce(self) -> tuple[str, int]:
        """A new nonce and when it expires.

        It is kept nowhere before it is spent, so that nobody can lock others out by asking for many: chance ‖ expiry ‖
        a mark of this server's secret over both, in hex.
        """
        expires = int(self._clock()) + LIFETIME
        body = secrets.token_bytes(_CHANCE) + expires.to_bytes(_EXPIRY, "big")
        return (body + self._mark(body)).hex(), expires

    def sign_in(self, message: str, signature: bytes) -> tuple[str, int]:
        """A token and when it expires. The nonce is spent whatever comes of it. Raises BadMessage, Refused."""
        if not SIGNATURE_BYTES <= len(signature) <= _MOST_SIGNATURE:
            raise BadMessage("a signature has at least 65 bytes", code="bad_signature")
        request = SignIn.parse(message)
        self._spend(request.nonce)
        now = self._clock()
        request.check(urlsplit(self._url).netloc, self._url, self._chain_id, now)
        if not self._chain.verify_signature(request.address, personal_digest(message), signature):
            raise _refused(f"{request.address} did not sign this message")
        return self._issue(request.address, int(now))

    def address_of(self, authorization: str) -> Address:
        """The address that a request's Authorization header speaks for. Raises Refused."""
        return checksummed(self.claims_of(bearer_token(authorization)).sub)

    def session(self, token: str) -> "Session":
        """Whom a token speaks for, and until when. Raises Refused."""
        claims = self.claims_of(token)
        return Session(checksummed(claims.sub), claims.iat, claims.exp)

    def claims_of(self, token: str) -> Claims:
        """What a session says, if it is one of this server's, has not expired and was not ended. Raises Refused."""
        if not token:
            raise _refused("this needs a session")
        try:
            claims = read_token(token, self._secret, self._url, self._audience, self._clock())
            checksummed(claims.sub)
        except BadMessage:
            raise _refused("the session has expired or is not one of this server") from None
        with self._engine.connect() as connection:
            if connection.execute(select(db.nonces).where(db.nonces.c.nonce == _ended(claims))).first():
                raise _refused("the session was ended")
        return claims

    def end(self, token: str) -> None:
        """No longer believed, from now on. Raises Refused if it was not one."""
        claims = self.claims_of(token)
        row = {"nonce": _ended(claims), "expires": claims.exp + LEEWAY}
        with suppress(IntegrityError), self._engine.begin() as connection:
            connection.execute(insert(db.nonces), row)

    def _spend(self, nonce: str) -> None:
        """Writing it down is the test: of any number of racing requests one writes the row."""
        now, expires = int(self._clock()), self._expiry_of(nonce)
        try:
            if expires <= now:
                raise _refused("the nonce is expired or not of this server")
            with self._engine.begin() as connection:
                connection.execute(delete(db.nonces).where(db.nonces.c.expires <= now))
                connection.execute(insert(db.nonces), {"nonce": nonce, "expires": expires})
        except IntegrityError:
            raise _refused("the nonce is used up") from None

    def _expiry_of(self, nonce: str) -> int:
        """0 for a nonce that this server did not give out."""
        try:
            raw = bytes.fromhex(nonce)
        except ValueError:
            return 0
        body, mark = raw[:-_MARK], raw[-_MARK:]
        genuine = len(raw) == _CHANCE + _EXPIRY + _MARK and nonce == raw.hex()
        return int.from_bytes(body[_CHANCE:], "big") if genuine and hmac.compare_digest(mark, self._mark(body)) else 0

    def _mark(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, b"nonce\n" + self._audience.encode() + b"\n" + body, "sha256")[:_MARK]

    def _issue(self, address: Address, now: int) -> tuple[str, int]:
        claims = Claims(address, self._url, self._audience, now, now + SESSION, secrets.token_hex(16))
        return write_token(claims, self._secret), claims.exp


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header; empty if there is none in it (RFC 6750)."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _ended(claims: Claims) -> str:
    """A row among the nonces, which are forgotten alike: no nonce has a colon."""
    return f"ended:{claims.jti}"


def _refused(why: str) -> Refused:
    return Refused(f"not signed in: {why}", hint="ask for a nonce and sign in again", code="sign_in")


def load_secret(path: Path) -> bytes:
    """The key of all tokens, made on first use, mode 0600. Raises KeyProblem if it is open to others or too short."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        raise KeyProblem(f"{path} can be read by others", hint=f"chmod 600 {path}", code="loose_mode")
    secret = path.read_bytes()
    if len(secret) < _SECRET_BYTES:
        raise KeyProblem(f"{path} is too short for a secret", hint="remove it: a new one is made", code="short_secret")
    return secret
