"""Fees and intents: the pure half of the outbox (threats 34, 35), and signatures as the contract reads them."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.chain.fees import GWEI, FeePolicy, Fees, Urgency, bumped, opening
from heldout.market.chain.logs import CHECKPOINTS, Cursor
from heldout.market.chain.sending import Attempt, Sending, Status
from heldout.market.chain.signatures import recovers, sign_digest, sign_permit
from heldout.market.chain.views import Block
from heldout.market.errors import BadInput
from heldout.market.terms import keccak256, words

POLICY = FeePolicy()
wei = st.integers(0, 300 * GWEI)
urgencies = st.sampled_from(Urgency)


@given(wei, wei, urgencies)
def test_an_offer_stays_within_the_cap_and_its_tip_within_the_offer(base: int, tip: int, urgency: Urgency) -> None:
    fees = opening(base, tip, urgency, POLICY)
    assert fees.tip <= fees.max_fee <= POLICY.cap_of(urgency)


@given(wei, wei, wei, wei, urgencies)
def test_a_replacement_offers_a_tenth_more_in_both_parts(
    old: int, old_tip: int, base: int, tip: int, urgency: Urgency
) -> None:
    """Nodes refuse a replacement below +10 % (threat 35)."""
    before = Fees(old, min(old, old_tip))
    after = bumped(before, base, tip, urgency, POLICY)
    if after is not None:
        assert after.max_fee * 10 >= before.max_fee * 11
        assert after.tip * 10 >= before.tip * 11
        assert after.tip <= after.max_fee <= POLICY.cap_of(urgency)


def test_at_the_cap_nothing_more_is_offered_but_a_reveal_may_still_pay_more() -> None:
    """Threat 34: a base fee spike."""
    at_cap = Fees(POLICY.cap, GWEI)
    assert bumped(at_cap, 500 * GWEI, GWEI, Urgency.NORMAL, POLICY) is None
    reveal = bumped(at_cap, 500 * GWEI, GWEI, Urgency.REVEAL, POLICY)
    assert reveal is not None and reveal.max_fee > POLICY.cap


def attempt(nonce: int, hash_: str) -> Attempt:
    return Attempt(hash_, "0x02", nonce, 10, 1, 5)


def sending(*attempts: Attempt) -> Sending:
    return Sending("commit:1", "0xabc", "0x00", 0, 21_000, Urgency.COMMIT, Status.OPEN, attempts)


def test_every_hash_of_a_nonce_is_kept_and_those_of_a_lost_nonce_are_past() -> None:
    """Threat 35: the transaction that is mined may be an earlier one."""
    twice = sending(attempt(7, "0xa")).tried(attempt(7, "0xb"))
    assert (twice.hashes, twice.past) == (("0xa", "0xb"), ())
    moved = twice.tried(attempt(9, "0xc"))
    assert (moved.nonce, moved.hashes, moved.past) == (9, ("0xc",), ("0xa", "0xb"))


def test_an_intent_survives_the_journal() -> None:
    import json

    intent = sending(attempt(7, "0xa"), attempt(7, "0xb"))
    assert Sending.from_record(json.loads(json.dumps(intent.to_record()))) == intent


def test_a_cursor_survives_storage_and_forgets_its_oldest_checkpoints() -> None:
    cursor = Cursor(((0, "0x0"),))  # type: ignore[arg-type]
    for number in range(1, 200):
        cursor = cursor.advanced(Block(number, hex(number), "", 0, 0))  # type: ignore[arg-type]
    assert len(cursor.checkpoints) == CHECKPOINTS
    assert cursor.block == 199
    assert Cursor.from_json(cursor.to_json()) == cursor
    with pytest.raises(BadInput):
        Cursor.from_json("[1")


# ---------------------------------------------------------------------------------------------- signatures

KEY = Account.from_key("0x" + "11" * 32)
DIGEST = keccak256(b"what is signed")


def test_a_signature_is_its_signers_and_nobody_elses() -> None:
    signature = sign_digest(KEY, DIGEST)
    assert recovers(KEY.address, DIGEST, signature)
    assert recovers(KEY.address.lower(), DIGEST, signature)
    assert not recovers(Account.from_key("0x" + "22" * 32).address, DIGEST, signature)
    assert not recovers(KEY.address, keccak256(b"other"), signature)


def test_malleable_and_short_signatures_are_refused_as_the_contract_does() -> None:
    signature = sign_digest(KEY, DIGEST)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    assert not recovers(KEY.address, DIGEST, signature[:32] + high_s + bytes([55 - signature[64]]))
    assert not recovers(KEY.address, DIGEST, signature[:64])
    assert not recovers(KEY.address, DIGEST, signature[:64] + bytes([signature[64] - 27]))
    assert not recovers(KEY.address, DIGEST, bytes(64) + b"\x1b")


def test_a_permit_is_what_eip_2612_asks_to_be_signed() -> None:
    """Against eth-account's own EIP-712 encoder."""
    spender, contract = "0x" + "22" * 20, "0x" + "33" * 20
    domain_data = {"name": "Held", "version": "1", "chainId": 31337, "verifyingContract": contract}
    fields = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
    types = {"Permit": [{"name": name, "type": kind} for name, kind in fields.items()]}
    message: dict[str, Any] = {"owner": KEY.address, "spender": spender, "value": 5, "nonce": 1, "deadline": 99}
    signed = KEY.sign_message(encode_typed_data(domain_data, types, message))
    kind = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    domain = keccak256(words((keccak256(kind), keccak256(b"Held"), keccak256(b"1"), 31337, contract)))
    permit = sign_permit(KEY, domain, spender, 5, 1, 99)
    assert permit.r + permit.s + bytes([permit.v]) == bytes(signed.signature)
