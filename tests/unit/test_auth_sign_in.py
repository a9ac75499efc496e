"""Signing in: EIP-4361 messages, single-use nonces, short tokens (P8)."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import jwt
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from heldout.market.errors import BadMessage, KeyProblem, Refused
from heldout.market.service import database as db
from heldout.market.service.sessions import SESSION, Sessions, load_secret
from heldout.market.service.tokens import LEEWAY as LEEWAY_OF_TOKENS
from heldout.market.service.tokens import Claims, read_token, write_token
from heldout.market.settings import Network
from heldout.market.signatures import checksummed, personal_digest, recover, sign_text
from heldout.market.siwe import LEEWAY, LIFETIME, SignIn
from tests.builders import CHAIN_ID, MARKET
from tests.databases import database_of

URL = "http://127.0.0.1:8450"
NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
ALICE = Account.from_key("0x" + "01" * 32)
BOB = Account.from_key("0x" + "02" * 32)


class Keys:
    """The part of the chain that checks signatures, for accounts without code."""

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        try:
            return recover(digest, signature) == address
        except BadMessage:
            return False


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Iterator[Sessions]:
    engine = database_of(tmp_path / "service.db")
    yield Sessions(engine, Keys(), NETWORK, URL, b"s" * 32, clock)
    engine.dispose()


def message(sessions: Sessions, clock: Clock, **changes: object) -> SignIn:
    nonce, _ = sessions.nonce()
    now = int(clock())
    address = checksummed(ALICE.address)
    return replace(SignIn("127.0.0.1:8450", address, URL, CHAIN_ID, nonce, now, now + LIFETIME), **changes)  # type: ignore[arg-type]


def signed(text: str, account: object = ALICE) -> bytes:
    return bytes.fromhex(sign_text(account, text)[2:])  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ signatures


def test_a_text_is_signed_and_recovered_as_wallets_do_it() -> None:
    """EIP-191, against eth_account's own reading of it."""
    text = "any text, ünïcode too"
    ours = sign_text(ALICE, text)
    assert bytes.fromhex(ours[2:]) == ALICE.sign_message(encode_defunct(text=text)).signature
    assert recover(personal_digest(text), bytes.fromhex(ours[2:])) == ALICE.address


@given(st.binary(min_size=20, max_size=20))
def test_addresses_have_the_capitals_of_eip_55(raw: bytes) -> None:
    from eth_utils.address import to_checksum_address

    assert checksummed(raw) == checksummed("0x" + raw.hex()) == to_checksum_address(raw)


@given(st.binary(max_size=130))
def test_any_bytes_are_a_signature_or_a_clear_error(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        recover(personal_digest("text"), raw + b"\x01")


# ------------------------------------------------------------------------------------------------------- messages


def test_the_text_is_that_of_the_standard() -> None:
    """https://eips.ethereum.org/EIPS/eip-4361"""
    text = SignIn("example.com", checksummed("0x" + "11" * 20), "https://example.com", 1, "abcdef12", 0, 60).text()
    assert text == (
        "example.com wants you to sign in with your Ethereum account:\n"
        "0x1111111111111111111111111111111111111111\n"
        "\n"
        "Sign in to Heldout. This moves no money.\n"
        "\n"
        "URI: https://example.com\n"
        "Version: 1\n"
        "Chain ID: 1\n"
        "Nonce: abcdef12\n"
        "Issued At: 1970-01-01T00:00:00Z\n"
        "Expiration Time: 1970-01-01T00:01:00Z"
    )


@given(
    st.from_regex(r"[a-z0-9.-]{1,40}(:[0-9]{1,5})?", fullmatch=True),
    st.binary(min_size=20, max_size=20),
    st.integers(1, 2**60),
    st.from_regex(r"[A-Za-z0-9]{8,64}", fullmatch=True),
    st.integers(0, 2**33),
)
def test_what_is_written_is_read_back(domain: str, address: bytes, chain: int, nonce: str, issued: int) -> None:
    written = SignIn(domain, checksummed(address), f"https://{domain}", chain, nonce, issued, issued + 60)
    assert SignIn.parse(written.text()) == written


GOOD = SignIn("h:1", checksummed(ALICE.address), "http://h:1", 7, "abcdefgh", 1_800_000_000, 1_800_000_060).text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Version: 1", "Version: 2"),
        ("Chain ID: 7", "Chain ID: 07"),
        ("Nonce: abcdefgh", "Nonce: abcdefg"),
        ("Nonce: abcdefgh", "Nonce: abcd efgh"),
        (ALICE.address, ALICE.address.lower()),
        ("2027-01-15T", "2027-13-15T"),
        ("2027-01-15T", "2027-1-15TT"),
        ("00Z\nExp", "00+01:00\nExp"),
        ("Sign in to Heldout. This moves no money.", "I pay all I have."),
        ("\nURI", "\nURI: http://evil\nURI"),
        ("Expiration", "Not Before: 2027-01-15T08:00:00Z\nExpiration"),
        ("Z\n", "Z\r\n"),
    ],
)
def test_a_message_has_one_reading(old: str, new: str) -> None:
    """Threat 78."""
    assert old in GOOD
    for text in (GOOD.replace(old, new), GOOD.replace(old, new) + "\n"):
        with pytest.raises(BadMessage):
            SignIn.parse(text)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(BadMessage):
        SignIn.parse(text)


# ------------------------------------------------------------------------------------------------------- sessions


def test_a_signature_buys_a_short_session(sessions: Sessions, clock: Clock) -> None:
    text = message(sessions, clock).text()
    token, expires = sessions.sign_in(text, signed(text))
    assert sessions.address_of(f"Bearer {token}") == ALICE.address
    assert expires - int(clock()) == SESSION


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "evil.example"},
        {"uri": "http://127.0.0.1:9"},
        {"chain_id": 1},
        {"nonce": "a" * 32},
        {"address": checksummed(BOB.address)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_message_for_somebody_or_somewhere_else_is_refused(
    sessions: Sessions, clock: Clock, changes: dict[str, object]
) -> None:
    """Threat 78."""
    text = message(sessions, clock, **changes).text()
    with pytest.raises(Refused) as refused:
        sessions.sign_in(text, signed(text))
    assert refused.value.code == "sign_in"


@pytest.mark.parametrize("later", [-LEEWAY - 1, LIFETIME], ids=["issued in the future", "expired"])
def test_a_message_is_for_now(sessions: Sessions, clock: Clock, later: int) -> None:
    """Threat 55."""
    request = message(sessions, clock)
    text = replace(request, issued=request.issued - later, expires=request.expires - later).text()
    with pytest.raises(Refused):
        sessions.sign_in(text, signed(text))


def test_a_message_for_too_long_is_refused(sessions: Sessions, clock: Clock) -> None:
    request = message(sessions, clock)
    text = replace(request, expires=request.issued + LIFETIME + 1).text()
    with pytest.raises(Refused):
        sessions.sign_in(text, signed(text))


def test_a_small_difference_of_clocks_is_forgiven(sessions: Sessions, clock: Clock) -> None:
    """Threat 55."""
    request = message(sessions, clock)
    text = replace(request, issued=request.issued + LEEWAY, expires=request.expires + LEEWAY).text()
    sessions.sign_in(text, signed(text))


def test_nobody_is_locked_out_by_nonces_that_others_asked_for(sessions: Sessions, clock: Clock) -> None:
    """Threat 89: a nonce is kept nowhere before it is spent, and what was spent only as long as it would be good."""
    first, expires = sessions.nonce()
    assert len({first, *(sessions.nonce()[0] for _ in range(1_000))}) == 1_001
    assert spent(sessions) == 0
    text = message(sessions, clock).text()
    sessions.sign_in(text, signed(text))
    assert spent(sessions) == 1
    clock.now = expires + 1
    later = message(sessions, clock).text()
    sessions.sign_in(later, signed(later))
    assert spent(sessions) == 1


def spent(sessions: Sessions) -> int:
    with sessions._engine.connect() as connection:
        return len(connection.execute(select(db.nonces)).all())


@pytest.mark.parametrize(
    "change",
    [
        lambda nonce: nonce[:-1] + ("0" if nonce[-1] != "0" else "1"),
        lambda nonce: nonce[:24] + "ffffffffff" + nonce[34:],
        lambda nonce: nonce.upper(),
        lambda nonce: nonce[2:],
        lambda nonce: "0" * 62,
    ],
    ids=["mark", "later", "capitals", "shorter", "zeros"],
)
def test_a_nonce_has_one_writing_and_one_maker(sessions: Sessions, clock: Clock, change: Callable[[str], str]) -> None:
    asked = message(sessions, clock)
    assert change(asked.nonce) != asked.nonce
    text = replace(asked, nonce=change(asked.nonce)).text()
    with pytest.raises(Refused) as refused:
        sessions.sign_in(text, signed(text))
    assert refused.value.code == "sign_in"
    sessions.sign_in(asked.text(), signed(asked.text()))


def test_a_session_ends(sessions: Sessions, clock: Clock) -> None:
    text = message(sessions, clock).text()
    token, expires = sessions.sign_in(text, signed(text))
    clock.now = expires + LEEWAY_OF_TOKENS
    with pytest.raises(Refused):
        sessions.address_of(f"Bearer {token}")


def test_tokens_are_those_of_the_standard() -> None:
    """RFC 7519, against PyJWT's own reading and writing of it."""
    claims = Claims(ALICE.address, URL, "audience", 1_800_000_000, 1_800_000_900, "id")
    key = b"k" * 32
    token = write_token(claims, key)
    expected = {"audience": "audience", "issuer": URL, "options": {"verify_exp": False, "verify_iat": False}}
    assert jwt.decode(token, key, algorithms=["HS256"], **expected) == asdict(claims)
    assert read_token(jwt.encode(asdict(claims), key, "HS256"), key, URL, "audience", 1_800_000_000) == claims


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Threat 83."""
    path = tmp_path / "secret"
    secret = load_secret(path)
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secret(path) == secret
    path.chmod(0o640)
    with pytest.raises(KeyProblem, match="read by others"):
        load_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeyProblem, match="too short"):
        load_secret(path)
