"""Sealing and envelopes (P2.4, P4.2, P4.4)."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.errors import BadEnvelope
from heldout.market.sealing import (
    Leaf,
    decode_leaves,
    derive,
    encode_leaves,
    envelope_context,
    make_envelope,
    open_envelope,
    open_shard,
    open_weights,
    pad_shard,
    reopen_envelope,
    seal_shard,
    seal_weights,
    shard_key,
    unpad_shard,
    weights_key,
    wrap_public_key,
)

KEY, SEED, PRIVATE = (sha256(name).digest() for name in (b"key", b"seed", b"private"))
JOB = sha256(b"job").digest()
ALICE, BOB = "0x" + "aa" * 20, "0x" + "bb" * 20
CONTEXT = envelope_context(JOB, "training_keys", ALICE, BOB)


@given(st.binary(max_size=200))
def test_a_shard_opens_to_the_bytes_that_were_sealed(data: bytes) -> None:
    """P2.4"""
    sealed, leaf = seal_shard(KEY, pad_shard(data, 256))
    assert open_shard(KEY, sealed, leaf) == data
    assert len(sealed) == 256 + 16


def test_every_shard_of_a_set_has_one_size_and_its_own_key() -> None:
    """P2.4: neither size nor bytes tell which rows a shard holds."""
    sealed = [seal_shard(shard_key(KEY, b"salt", i), pad_shard(b"x" * i, 64))[0] for i in range(3)]
    assert len({len(s) for s in sealed}) == 1
    assert len({shard_key(KEY, b"salt", i) for i in range(64)}) == 64


def test_a_shard_too_large_for_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pad_shard(b"x" * 57, 64)


@pytest.mark.parametrize("position", [0, 17, 79])
def test_a_flipped_byte_in_a_sealed_shard_is_noticed(position: int) -> None:
    sealed, leaf = seal_shard(KEY, pad_shard(b"row", 64))
    broken = bytearray(sealed)
    broken[position] ^= 1
    with pytest.raises(BadEnvelope):
        open_shard(KEY, bytes(broken), leaf)


def test_a_shard_whose_plaintext_is_not_in_the_root_is_refused() -> None:
    """P2.4: the requester cannot change rows after posting, even with a sealed blob that opens."""
    sealed, _ = seal_shard(KEY, pad_shard(b"row", 64))
    with pytest.raises(BadEnvelope, match="plaintext"):
        open_shard(KEY, sealed, Leaf(sha256(sealed).digest(), sha256(b"other").digest()))


def test_padding_that_hides_something_is_refused() -> None:
    with pytest.raises(BadEnvelope):
        unpad_shard(pad_shard(b"row", 64)[:-1] + b"x")
    with pytest.raises(BadEnvelope):
        unpad_shard((2**40).to_bytes(8, "little") + b"row")


def test_leaves_survive_the_flat_list_and_its_length_is_checked() -> None:
    """P2.4"""
    leaves = tuple(seal_shard(KEY, pad_shard(bytes([i]), 64))[1] for i in range(16))
    assert decode_leaves(encode_leaves(leaves), 16) == leaves
    with pytest.raises(BadEnvelope):
        decode_leaves(encode_leaves(leaves), 17)


@given(st.binary(max_size=100))
def test_an_envelope_opens_for_its_receiver_only(plaintext: bytes) -> None:
    """P4.2"""
    envelope = make_envelope(SEED, wrap_public_key(PRIVATE), plaintext, CONTEXT)
    assert open_envelope(PRIVATE, envelope, CONTEXT) == plaintext
    with pytest.raises(BadEnvelope):
        open_envelope(KEY, envelope, CONTEXT)


def test_a_shown_seed_lets_anyone_rebuild_the_envelope() -> None:
    """P4.2: a wrong envelope is proved without a private key."""
    assert make_envelope(SEED, wrap_public_key(PRIVATE), b"a", CONTEXT) == make_envelope(
        SEED, wrap_public_key(PRIVATE), b"a", CONTEXT
    )


@pytest.mark.parametrize(
    "other",
    [
        envelope_context(sha256(b"other job").digest(), "training_keys", ALICE, BOB),
        envelope_context(JOB, "half_b", ALICE, BOB),
        envelope_context(JOB, "training_keys", BOB, ALICE),
    ],
)
def test_an_envelope_copied_elsewhere_opens_nowhere(other: bytes) -> None:
    """P4.4"""
    envelope = make_envelope(SEED, wrap_public_key(PRIVATE), b"keys", CONTEXT)
    with pytest.raises(BadEnvelope):
        open_envelope(PRIVATE, envelope, other)


@pytest.mark.parametrize("envelope", [b"", b"\0" * 31, b"\0" * 32, b"\0" * 64, b"\xff" * 80])
def test_garbage_is_not_an_envelope(envelope: bytes) -> None:
    with pytest.raises(BadEnvelope):
        open_envelope(PRIVATE, envelope, CONTEXT)


def test_a_low_order_wrapping_key_is_refused() -> None:
    """RFC 7748, section 6.1: the shared secret would be all zeros."""
    with pytest.raises(BadEnvelope):
        make_envelope(SEED, bytes(32), b"keys", CONTEXT)


def test_weights_are_bound_to_job_and_provider() -> None:
    """P4.4, threat 70: copied ciphertexts are worth nothing."""
    sealed = seal_weights(KEY, SEED, b"weights", JOB, ALICE)
    assert open_weights(KEY, SEED, sealed, JOB, ALICE) == b"weights"
    for halves, job, provider in [
        ((KEY, SEED), JOB, BOB),
        ((KEY, SEED), sha256(b"other").digest(), ALICE),
        ((SEED, KEY), JOB, ALICE),
    ]:
        with pytest.raises(BadEnvelope):
            open_weights(*halves, sealed, job, provider)


def test_derived_secrets_do_not_collide_over_part_boundaries() -> None:
    assert derive(KEY, "x", b"ab", b"c") != derive(KEY, "x", b"a", b"bc")
    assert weights_key(KEY, SEED) == sha256(KEY + SEED).digest()


def test_whoever_is_shown_the_seed_finds_what_the_receiver_finds() -> None:
    """P4.2: a wrong envelope can be proved without giving away any private key."""
    envelope = make_envelope(SEED, wrap_public_key(PRIVATE), b"keys", CONTEXT)
    assert reopen_envelope(SEED, wrap_public_key(PRIVATE), envelope, CONTEXT) == b"keys"


@pytest.mark.parametrize("seed, sent", [(KEY, 0), (SEED, 1)])
def test_a_seed_that_did_not_make_the_envelope_proves_nothing(seed: bytes, sent: int) -> None:
    """P4.2: neither another seed nor a broken envelope opens."""
    envelope = bytearray(make_envelope(SEED, wrap_public_key(PRIVATE), b"keys", CONTEXT))
    envelope[-1] ^= sent
    with pytest.raises(BadEnvelope):
        reopen_envelope(seed, wrap_public_key(PRIVATE), bytes(envelope), CONTEXT)
