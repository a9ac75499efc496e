"""Attacks on signing in: a message used again, by many at once, or made for another site (threat 78)."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account

from heldout.market.errors import BadMessage, HeldoutError, Refused
from heldout.market.service.sessions import Sessions
from heldout.market.settings import Network
from heldout.market.signatures import checksummed, recover, sign_text
from heldout.market.siwe import LIFETIME, SignIn
from tests.builders import CHAIN_ID, MARKET
from tests.databases import database_of

pytestmark = pytest.mark.attack

URL = "http://127.0.0.1:8450"
NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
ALICE = Account.from_key("0x" + "01" * 32)
MALLORY = Account.from_key("0x" + "02" * 32)


class Keys:
    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        try:
            return recover(digest, signature) == address
        except BadMessage:
            return False


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    engine = database_of(tmp_path / "service.db")
    yield Sessions(engine, Keys(), NETWORK, URL, b"s" * 32, time.time)
    engine.dispose()


def message(sessions: Sessions, domain: str = "127.0.0.1:8450", uri: str = URL) -> str:
    """What Alice's wallet shows her."""
    nonce, _ = sessions.nonce()
    now = int(time.time())
    return SignIn(domain, checksummed(ALICE.address), uri, CHAIN_ID, nonce, now, now + LIFETIME).text()


def signed(text: str, account: object = ALICE) -> bytes:
    return bytes.fromhex(sign_text(account, text)[2:])  # type: ignore[arg-type]


def test_a_message_is_good_once(sessions: Sessions) -> None:
    text = message(sessions)
    sessions.sign_in(text, signed(text))
    with pytest.raises(Refused, match="nonce"):
        sessions.sign_in(text, signed(text))


def test_a_failed_guess_spends_the_nonce(sessions: Sessions) -> None:
    text = message(sessions)
    for signature in (signed(text, MALLORY), signed(text)):
        with pytest.raises(Refused):
            sessions.sign_in(text, signature)


def test_of_fifty_racing_sign_ins_one_succeeds(sessions: Sessions) -> None:
    text = message(sessions)

    def attempt(_: int) -> bool:
        try:
            sessions.sign_in(text, signed(text))
        except HeldoutError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(50))) == 1


@pytest.mark.parametrize(
    ("domain", "uri"),
    [("evil.example", "http://evil.example"), ("evil.example", URL), ("127.0.0.1:8450", "http://evil.example")],
)
def test_a_message_for_another_site_is_worth_nothing_here(sessions: Sessions, domain: str, uri: str) -> None:
    text = message(sessions, domain, uri)
    with pytest.raises(Refused, match="this server is"):
        sessions.sign_in(text, signed(text))


def test_a_nonce_of_ones_own_making_is_refused(sessions: Sessions) -> None:
    now = int(time.time())
    text = SignIn("127.0.0.1:8450", checksummed(ALICE.address), URL, CHAIN_ID, "a" * 32, now, now + LIFETIME).text()
    with pytest.raises(Refused, match="nonce"):
        sessions.sign_in(text, signed(text))


def test_a_signatures_malleable_twin_is_none(sessions: Sessions) -> None:
    """EIP-2: the same signature with s in the upper half."""
    order = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
    text = message(sessions)
    good = signed(text)
    twin = good[:32] + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
    with pytest.raises(Refused):
        sessions.sign_in(text, twin)
