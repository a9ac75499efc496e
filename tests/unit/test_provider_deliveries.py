"""What a provider seals and sends: bound to job and provider, the same when it is made twice (P4.2 to P4.4)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from builders import JOB, JOB_BYTES, TERMS, digest
from eth_account import Account

from heldout.market.chain.views import Recipient
from heldout.market.errors import BadEnvelope
from heldout.market.keys import KeyRing
from heldout.market.messages import Kind, Letter, bid_of, hexed
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sealing import (
    envelope_context,
    make_envelope,
    open_envelope,
    open_weights,
    wrap_public_key,
)
from heldout.market.settings import Network
from heldout.market.signatures import recover
from heldout.market.terms import Address, JobTerms, Timestamp
from heldout.provider.deliveries import Deliveries

NETWORK = Network("test", 31337, "0x0", ("http://127.0.0.1:1",), "0x" + "33" * 20, "0x" + "44" * 20, 0, "0x0", ())
REQUESTER_KEY = digest("requester's wrapping key")
HOT, HOT_KEY = Address("0x" + "77" * 20), digest("seat's wrapping key")
WEIGHTS = b"weights of some kind"


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing(Account.from_key(digest("provider")), digest("root"))


@pytest.fixture
def deliveries(keys: KeyRing) -> Deliveries:
    return Deliveries(keys, NETWORK)


@pytest.fixture
def terms() -> JobTerms:
    return replace(TERMS, wrapKey=wrap_public_key(REQUESTER_KEY))


def test_a_bid_is_signed_for_this_chain_and_market_and_is_the_same_when_made_twice(
    deliveries: Deliveries, keys: KeyRing
) -> None:
    """P8."""
    letter = deliveries.bid(JOB, Wei(ONE_TOKEN), Timestamp(99))
    bid, signature = bid_of(letter)
    assert recover(bid.digest(NETWORK.chain_id, NETWORK.market), signature) == keys.address
    assert (bid.price, bid.validUntil, bid.wrapKey) == (ONE_TOKEN, 99, keys.wrap_public)
    assert deliveries.bid(JOB, Wei(ONE_TOKEN), Timestamp(99)) == letter


def test_training_keys_open_only_from_this_requester_for_this_job(deliveries: Deliveries, keys: KeyRing) -> None:
    secret = b"k" * 32 * 14
    context = envelope_context(JOB_BYTES, Kind.TRAINING_KEYS, TERMS.requester, keys.address)
    body = {"envelope": hexed(make_envelope(digest("seed"), keys.wrap_public, secret, context))}
    letter = Letter(JOB, Kind.TRAINING_KEYS, TERMS.requester, keys.address, body)
    assert deliveries.training_keys(letter, TERMS.requester, 14) == secret
    with pytest.raises(BadEnvelope, match="416 bytes"):
        deliveries.training_keys(letter, TERMS.requester, 13)
    with pytest.raises(BadEnvelope):
        deliveries.training_keys(letter, HOT, 14)
    with pytest.raises(BadEnvelope):
        deliveries.training_keys(replace(letter, job="0x" + "00" * 32), TERMS.requester, 14)


def test_sealed_weights_open_with_both_halves_and_fit_the_word(
    deliveries: Deliveries, keys: KeyRing, terms: JobTerms
) -> None:
    """P4.4: one word commits to weights, sealed weights, half b and the requester's envelope."""
    sealed, blob = deliveries.seal(JOB, terms, WEIGHTS)
    half_a, half_b = bytes.fromhex(sealed.half_a), bytes.fromhex(sealed.half_b)
    assert open_weights(half_a, half_b, blob, JOB_BYTES, keys.address) == WEIGHTS
    context = envelope_context(JOB_BYTES, Kind.SUBMISSION, keys.address, terms.requester)
    assert open_envelope(REQUESTER_KEY, bytes.fromhex(sealed.envelope_a), context) == half_a
    submission = sealed.submission
    assert submission.weights_hash == sha256(WEIGHTS).digest()
    assert submission.sealed_hash == sha256(blob).digest()
    assert submission.half_b_hash == sha256(half_b).digest()


def test_sealing_twice_makes_the_same_bytes_and_other_weights_get_other_keys(
    deliveries: Deliveries, terms: JobTerms
) -> None:
    """A node killed after sealing seals again; no key ever seals two plaintexts."""
    first, again = deliveries.seal(JOB, terms, WEIGHTS), deliveries.seal(JOB, terms, WEIGHTS)
    assert first == again
    other, _ = deliveries.seal(JOB, terms, WEIGHTS + b"!")
    assert {other.half_a, other.half_b, other.seed_a}.isdisjoint({first[0].half_a, first[0].half_b, first[0].seed_a})


def test_each_seats_key_gets_one_letter_that_opens_the_weights(
    deliveries: Deliveries, keys: KeyRing, terms: JobTerms
) -> None:
    """P4.3: a, b and the seed of the requester's envelope; three seats of one key are one letter."""
    sealed, _ = deliveries.seal(JOB, terms, WEIGHTS)
    seat, unusable = Recipient(HOT, wrap_public_key(HOT_KEY)), Recipient(Address("0x" + "88" * 20), bytes(32))
    letters = deliveries.to_seats(JOB, 0, 1, sealed, [seat, seat, unusable])
    assert [letter.receiver for letter in letters] == [HOT]
    context = envelope_context(JOB_BYTES, Kind.SUBMISSION, keys.address, HOT)
    secret = open_envelope(HOT_KEY, letters[0].bytes_of("envelope"), context)
    assert secret == bytes.fromhex(sealed.half_a + sealed.half_b + sealed.seed_a)
    remade = make_envelope(
        secret[64:],
        terms.wrapKey,
        secret[:32],
        envelope_context(JOB_BYTES, Kind.SUBMISSION, keys.address, terms.requester),
    )
    assert remade == letters[0].bytes_of("envelopeA")


def test_the_requesters_copy_holds_half_a_only_until_half_b_follows(
    deliveries: Deliveries, keys: KeyRing, terms: JobTerms
) -> None:
    sealed, _ = deliveries.seal(JOB, terms, WEIGHTS)
    copy = deliveries.to_requester(JOB, 0, terms, sealed)
    assert sealed.half_b not in copy.encode().decode() and sealed.half_a not in copy.encode().decode()
    assert copy.body["envelope"] == ""
    half = deliveries.half(JOB, 0, terms, sealed)
    context = envelope_context(JOB_BYTES, Kind.HALF_B, keys.address, terms.requester)
    assert open_envelope(REQUESTER_KEY, half.bytes_of("envelope"), context).hex() == sealed.half_b


def test_key_rings_seed_what_they_seal(tmp_path: Path, terms: JobTerms) -> None:
    """A lost disk seals the same again from a backup of the keys alone (P11)."""
    ring = KeyRing.create(tmp_path / "ring", "long enough", light=True)
    first = Deliveries(ring, NETWORK).seal(JOB, terms, WEIGHTS)
    assert Deliveries(KeyRing.open(tmp_path / "ring", "long enough"), NETWORK).seal(JOB, terms, WEIGHTS) == first
