"""Attacks on the service's sessions: tokens that its key did not sign, or signed for something else (threat 77)."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from eth_account import Account

from heldout.market.errors import Refused
from heldout.market.service.sessions import Sessions
from heldout.market.settings import Network
from tests.builders import CHAIN_ID, MARKET
from tests.databases import database_of

pytestmark = pytest.mark.attack

URL = "http://127.0.0.1:8450"
SECRET = b"s" * 32
NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
VICTIM = Account.from_key("0x" + "01" * 32).address


class NoChain:
    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        raise AssertionError("a token needs no chain")


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    engine = database_of(tmp_path / "service.db")
    yield Sessions(engine, NoChain(), NETWORK, URL, SECRET, time.time)
    engine.dispose()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    sound = {
        "sub": VICTIM,
        "iss": URL,
        "aud": f"heldout:{CHAIN_ID}:{MARKET.lower()}",
        "iat": now,
        "exp": now + 60,
        "jti": "1",
        **changes,
    }
    return {name: value for name, value in sound.items() if value is not None}


def test_the_claims_used_here_are_sound(sessions: Sessions) -> None:
    """Each attack below spoils one thing; this one spoils nothing."""
    assert sessions.address_of("Bearer " + jwt.encode(claims(), SECRET, "HS256")) == VICTIM


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"jti": None},
        {"sub": None},
        {"sub": "0x"},
        {"sub": ["list"]},
        {"aud": "heldout:1:" + MARKET},
        {"aud": None},
        {"iss": "http://evil.example"},
        {"iss": None},
        {"iat": 2**33},
        {"nbf": 2**33},
    ],
    ids=str,
)
def test_a_token_that_is_signed_but_wrong_is_refused(sessions: Sessions, changes: dict[str, Any]) -> None:
    try:
        token = jwt.encode(claims(**changes), SECRET, "HS256")
    except TypeError:  # PyJWT refuses to write some of them: write it by hand
        token = handmade({"alg": "HS256", "typ": "JWT"}, claims(**changes), SECRET)
    refuse(sessions, token)


def test_a_token_of_another_key_is_refused(sessions: Sessions) -> None:
    refuse(sessions, jwt.encode(claims(), b"t" * 32, "HS256"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "hs256", ""])
def test_the_algorithm_is_not_the_tokens_to_choose(sessions: Sessions, algorithm: str) -> None:
    refuse(sessions, handmade({"alg": algorithm, "typ": "JWT"}, claims(), SECRET))
    refuse(sessions, handmade({"alg": algorithm, "typ": "JWT"}, claims(), b""))


@pytest.mark.parametrize(
    "header", [{"jku": "http://evil/keys"}, {"kid": "../../dev/null"}, {"jwk": {"kty": "oct", "k": ""}}]
)
def test_the_key_is_not_the_tokens_to_name(sessions: Sessions, header: dict[str, Any]) -> None:
    refuse(sessions, handmade({"alg": "HS256", "typ": "JWT", **header}, claims(), b""))


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer a.b.c", "Basic YTpi", "Bearer " + "." * 3, "Bearer é"]
)
def test_what_is_no_token_is_refused(sessions: Sessions, value: str) -> None:
    with pytest.raises(Refused):
        sessions.address_of(value)


def test_a_signature_cut_short_is_refused(sessions: Sessions) -> None:
    token = jwt.encode(claims(), SECRET, "HS256")
    for end in (token.rindex(".") + 1, len(token) - 2):
        refuse(sessions, token[:end])


def handmade(header: dict[str, Any], body: dict[str, Any], key: bytes) -> str:
    """A token with any header, and an HMAC-SHA256 under any key (none if it is empty)."""
    import hmac

    signing = b".".join(map(encoded, (json.dumps(header).encode(), json.dumps(body).encode())))
    signature = hmac.digest(key, signing, "sha256") if key else b""
    return (signing + b"." + encoded(signature)).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def refuse(sessions: Sessions, token: str) -> None:
    with pytest.raises(Refused) as refused:
        sessions.address_of(f"Bearer {token}")
    assert refused.value.code == "sign_in"
