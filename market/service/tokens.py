"""JSON Web Tokens (RFC 7519), of one kind: HS256 under this server's own key, with a fixed header and fixed claims.

A token's header is compared, never interpreted, so it can choose neither algorithm nor key. PyJWT reads and writes the
same tokens (the tests hold us to it), and keeps 9 MB of cryptography in memory to do so.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import Any, Final

from heldout.market.errors import BadMessage

LEEWAY: Final = 5
"""Seconds by which clocks may differ (RFC 7519, 4.1.4)."""
_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'
_MOST: Final = 2048


@dataclass(frozen=True)
class Claims:
    """Subject, issuer and audience; issued at and expiring at, in unix seconds; the token's own id."""

    sub: str
    iss: str
    aud: str
    iat: int
    exp: int
    jti: str


def write_token(claims: Claims, secret: bytes) -> str:
    """The claims, signed."""
    signed = _encoded(_HEADER) + b"." + _encoded(json.dumps(asdict(claims), separators=(",", ":")).encode())
    return (signed + b"." + _encoded(hmac.digest(secret, signed, "sha256"))).decode()


def read_token(token: str, secret: bytes, issuer: str, audience: str, now: float) -> Claims:
    """The claims of a token that is signed, meant for this server, and good now. Raises BadMessage."""
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
        header, _, body = signed.partition(b".")
        genuine = hmac.compare_digest(_encoded(hmac.digest(secret, signed, "sha256")), signature)
        if len(token) > _MOST or not genuine or header != _encoded(_HEADER):
            raise ValueError("not signed by this server")
        claims = _read_claims(json.loads(urlsafe_b64decode(body + b"=" * (-len(body) % 4))))
        if (claims.iss, claims.aud) != (issuer, audience) or not claims.iat - LEEWAY <= now < claims.exp + LEEWAY:
            raise ValueError("not for this server, or not for now")
    except ValueError as problem:
        raise BadMessage(f"not a token: {problem}", code="bad_token") from None
    return claims


def _read_claims(raw: Any) -> Claims:
    """Raises ValueError unless these are exactly the claims that `write_token` writes."""
    wanted = Claims.__annotations__
    if not isinstance(raw, dict) or raw.keys() != wanted.keys() or any(type(raw[k]) is not wanted[k] for k in wanted):
        raise ValueError("other claims than this server's")
    return Claims(**raw)


def _encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
