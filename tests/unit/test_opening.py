"""What opens is what was fixed on chain, and nothing else does (P2.4, P4.3 to P4.5)."""

from dataclasses import replace

import pytest
from builders import JOB, PROVIDERS, REQUESTER, digest
from delivered import HALF_A, HALF_B, READER, SEAT, SEED_A, SPLIT, but, deliver, key_of, rows, to_seat, training_letter

from heldout.market.errors import BadEnvelope, BadMessage, StoreProblem
from heldout.market.messages import Kind, Letter, hexed
from heldout.market.terms import Address
from heldout.validator.opening import (
    HeldOutSecret,
    Reader,
    check_training_envelope,
    open_shards,
    open_submission,
)


def weights_from(letter: Letter, **changes: object) -> bytes:
    honest = deliver()
    entry = replace(honest.entry, **changes)  # type: ignore[arg-type]
    return open_submission(entry, honest.terms, letter, READER, honest.shelf)


def test_an_honest_submission_opens_to_its_weights() -> None:
    """P4.4"""
    assert weights_from(deliver().submission) == b"weights"


def test_a_forwarded_submission_opens_too() -> None:
    """P4.3: seats forward to each other; who carried it does not matter."""
    honest = deliver()
    other_seat = Address("0x" + "77" * 20)
    forwarded = to_seat(Kind.SUBMISSION, other_seat, HALF_A + HALF_B + SEED_A, honest.submission.body)
    assert weights_from(forwarded) == b"weights"


@pytest.mark.parametrize("field", ["weightsHash", "sealedHash", "halfBHash", "envelopeA"])
def test_a_letter_that_is_not_the_preimage_of_the_word_is_refused(field: str) -> None:
    """P4.4: seats recompute the word from every part of the letter that it fixes."""
    spoilt = but(deliver().submission, **{field: hexed(digest("other"))})
    if field == "halfBHash":  # b itself is in the envelope: the letter's hash of it is for the requester
        assert weights_from(spoilt) == b"weights"
    else:
        with pytest.raises((BadEnvelope, StoreProblem)):
            weights_from(spoilt)


@pytest.mark.parametrize("secret", [HALF_A + HALF_B + digest("other"), HALF_B + HALF_A + SEED_A, HALF_A + HALF_B])
def test_halves_that_do_not_make_the_word_are_refused(secret: bytes) -> None:
    """P4.4: the envelope of a to the requester is recomputed from its seed, so R cannot be cheated of its half."""
    honest = deliver()
    with pytest.raises(BadEnvelope):
        weights_from(to_seat(Kind.SUBMISSION, PROVIDERS[0], secret, honest.submission.body))


def test_another_providers_sealed_weights_are_worth_nothing() -> None:
    """P4.4, threat 70: the associated data binds job and provider."""
    with pytest.raises(BadEnvelope):
        weights_from(deliver().submission, provider=PROVIDERS[1])


@pytest.mark.parametrize("letter", [but(deliver().submission, lane=1), but(deliver().submission, lane="one")])
def test_a_letter_of_another_lane_is_refused(letter: Letter) -> None:
    with pytest.raises((BadEnvelope, BadMessage)):
        weights_from(letter)


def test_a_letter_for_another_seat_does_not_open() -> None:
    """P4.2"""
    letter = deliver().submission
    with pytest.raises(BadEnvelope):
        Reader(SEAT, digest("somebody")).open(letter)
    with pytest.raises(BadEnvelope):
        Reader(PROVIDERS[2], READER.wrap_private).open(letter)


def test_sealed_weights_that_no_store_has_are_not_there_yet() -> None:
    """Threat 49"""
    honest = deliver()
    honest.shelf.lost.add(honest.sealed_hash)
    with pytest.raises(StoreProblem):
        open_submission(honest.entry, honest.terms, honest.submission, READER, honest.shelf)


# -------------------------------------------------------------------------------------------------- shards


def test_held_out_shards_open_in_the_order_of_the_split() -> None:
    """P4.1, P2.4"""
    honest = deliver()
    secret = HeldOutSecret.decode(READER.open(honest.held_out), honest.terms.heldOut)
    keys = [(key,) for key in secret.keys]
    opened = list(open_shards(keys, SPLIT.held_out, honest.terms, honest.shelf))
    assert opened == [rows(i) for i in SPLIT.held_out]
    assert secret.seeds == ()


def test_a_key_of_another_shard_does_not_open_this_one() -> None:
    """P2.4"""
    honest = deliver()
    keys = [key_of(shard) for shard in reversed(SPLIT.held_out)]
    with pytest.raises(BadEnvelope):
        list(open_shards([(key,) for key in keys], SPLIT.held_out, honest.terms, honest.shelf))


def test_a_list_of_leaves_that_is_not_the_data_root_is_refused() -> None:
    """P2.4: a shard that does not match its root."""
    honest = deliver()
    honest.shelf.blobs[honest.terms.dataRoot] = b"\0" * 64 * honest.terms.shards
    with pytest.raises((BadEnvelope, StoreProblem)):
        list(open_shards([(key_of(i),) for i in SPLIT.held_out], SPLIT.held_out, honest.terms, honest.shelf))


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32 * 5), bytes(32 * 6 + 1)])
def test_a_held_out_letter_of_a_wrong_length_is_refused(secret: bytes) -> None:
    with pytest.raises(BadEnvelope):
        HeldOutSecret.decode(secret, 6)


# -------------------------------------------------------------------------------------------------- NO_KEYS


def check(answer: Letter, seed: bytes) -> None:
    honest = deliver()
    check_training_envelope(honest.entry, honest.terms, answer, seed, SPLIT.training, honest.shelf)


def test_a_seed_proves_that_the_training_keys_were_delivered() -> None:
    """P4.5: nobody's private key is needed."""
    check(training_letter(digest("seed")), digest("seed"))


@pytest.mark.parametrize(
    "answer, seed",
    [
        (training_letter(digest("seed")), digest("another seed")),
        (training_letter(digest("seed"), b"".join(map(key_of, SPLIT.held_out))), digest("seed")),
        (training_letter(digest("seed"), b"no keys at all"), digest("seed")),
        (Letter(JOB, Kind.TRAINING_KEYS, REQUESTER, PROVIDERS[0], {"envelope": "0x00"}), digest("seed")),
    ],
)
def test_an_envelope_that_held_no_training_keys_is_the_requesters_fault(answer: Letter, seed: bytes) -> None:
    """P4.5"""
    with pytest.raises(BadEnvelope):
        check(answer, seed)
