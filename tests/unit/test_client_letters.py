"""The requester's letters, and opening what comes back: two halves, one word on chain, no trust (P4.2 to P4.5)."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from heldout.market import sealing
from heldout.market.artifacts import DiskStore
from heldout.market.chain.views import Recipient
from heldout.market.errors import BadEnvelope
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState, Lane, State, fold
from heldout.market.messages import NO_KEYS, Kind, Letter, Submission, encode_answer, hexed
from heldout.market.money import Wei
from heldout.market.settings import Network
from heldout.market.split import draw_split
from heldout.requester_cli.client import Client
from heldout.requester_cli.letters import Writer
from heldout.requester_cli.opening import Parcel, find_parcel, open_parcel
from tests.builders import JOB, JOB_BYTES, PROVIDERS, TERMS, EventLog, digest, terms_values

KEYS = KeyRing(Account.from_key(digest("requester")), digest("root"))
PROVIDER_PRIVATE = digest("provider's wrapping key")
PROVIDER_KEY = sealing.wrap_public_key(PROVIDER_PRIVATE)
SPLIT, REDRAWN = (
    draw_split(digest(seed), JOB_BYTES, TERMS.shards, TERMS.heldOut) for seed in ("block hash", "reorganised")
)
WEIGHTS = b"weights of the provider"
HALF_A, HALF_B = digest("a"), digest("b")


def job(word: bytes | None = None) -> JobState:
    log = EventLog()
    log("Posted", requester=TERMS.requester, terms=terms_values(replace(TERMS, requester=KEYS.address)))
    log("Moved", state=State.OPEN, round=0, deadline=1)
    posted = fold(log.events)[JOB]
    return replace(posted, lanes=(Lane(PROVIDERS[0], Wei(1), PROVIDER_KEY, word),))


def opened(letter: Letter, private: bytes, receiver: str) -> bytes:
    context = sealing.envelope_context(JOB_BYTES, letter.kind, KEYS.address, receiver)
    return sealing.open_envelope(private, letter.bytes_of("envelope"), context)


def keys_of(shards: tuple[int, ...]) -> bytes:
    return b"".join(sealing.shard_key(KEYS.data_secret, TERMS.salt, shard) for shard in shards)


# ------------------------------------------------------------------------------------------------- letters


def test_a_provider_gets_the_training_keys_in_the_splits_order_and_no_others() -> None:
    letter = Writer(KEYS, job(), SPLIT).training_keys(0)
    secret = opened(letter, PROVIDER_PRIVATE, PROVIDERS[0])
    assert secret == keys_of(SPLIT.training)
    assert not any(sealing.shard_key(KEYS.data_secret, TERMS.salt, shard) in secret for shard in SPLIT.held_out)


def test_a_letter_comes_out_the_same_after_a_lost_disk() -> None:
    again = KeyRing(Account.from_key(digest("requester")), digest("root"))
    assert Writer(KEYS, job(), SPLIT).training_keys(0) == Writer(again, job(), SPLIT).training_keys(0)


def test_another_split_never_shares_an_envelope_key() -> None:
    """A reorganised chain draws another split: one symmetric key seals exactly one plaintext."""
    one = Writer(KEYS, job(), SPLIT).training_keys(0).bytes_of("envelope")
    two = Writer(KEYS, job(), REDRAWN).training_keys(0).bytes_of("envelope")
    assert one[:32] != two[:32]


def test_a_seat_gets_the_held_out_keys() -> None:
    private = digest("seat")
    seat = Recipient(PROVIDERS[6], sealing.wrap_public_key(private))
    letter = Writer(KEYS, job(digest("word")), SPLIT).held_out_keys(seat)
    assert opened(letter, private, PROVIDERS[6]) == keys_of(SPLIT.held_out)


def test_a_disputed_lane_shows_its_envelopes_seed_so_that_seats_can_judge() -> None:
    """P4.5: a wrong envelope can be proved without anybody's private key."""
    private = digest("seat")
    writer = Writer(KEYS, job(NO_KEYS), SPLIT)
    letter = writer.held_out_keys(Recipient(PROVIDERS[6], sealing.wrap_public_key(private)))
    secret = opened(letter, private, PROVIDERS[6])
    seed = secret[len(keys_of(SPLIT.held_out)) :]
    assert len(seed) == 32
    context = sealing.envelope_context(JOB_BYTES, Kind.TRAINING_KEYS, KEYS.address, PROVIDERS[0])
    shown = sealing.reopen_envelope(seed, PROVIDER_KEY, writer.training_keys(0).bytes_of("envelope"), context)
    assert shown == keys_of(SPLIT.training)


def test_a_letter_is_not_written_to_an_unusable_key() -> None:
    with pytest.raises(BadEnvelope):
        Writer(KEYS, job(), SPLIT).held_out_keys(Recipient(PROVIDERS[6], bytes(32)))


# ------------------------------------------------------------------------------------------------- opening


def delivered(weights: bytes = WEIGHTS) -> tuple[JobState, list[Letter], dict[bytes, bytes]]:
    """What an honest provider sends, and what lies in the stores."""
    sealed = sealing.seal_weights(HALF_A, HALF_B, WEIGHTS, JOB_BYTES, PROVIDERS[0])
    context = sealing.envelope_context(JOB_BYTES, Kind.SUBMISSION, PROVIDERS[0], KEYS.address)
    envelope_a = sealing.make_envelope(digest("seed a"), KEYS.wrap_public, HALF_A, context)
    submission = Submission(
        sha256(weights).digest(), sha256(sealed).digest(), sha256(HALF_B).digest(), sha256(envelope_a).digest()
    )
    body: dict[str, Any] = {
        "lane": 0,
        "weightsHash": hexed(submission.weights_hash),
        "sealedHash": hexed(submission.sealed_hash),
        "halfBHash": hexed(submission.half_b_hash),
        "envelopeA": hexed(envelope_a),
        "envelope": "",
    }
    half = sealing.make_envelope(
        digest("seed b"),
        KEYS.wrap_public,
        HALF_B,
        sealing.envelope_context(JOB_BYTES, Kind.HALF_B, PROVIDERS[0], KEYS.address),
    )
    letters = [
        Letter(JOB, Kind.SUBMISSION, PROVIDERS[0], KEYS.address, body),
        Letter(JOB, Kind.HALF_B, PROVIDERS[0], KEYS.address, {"lane": 0, "envelope": hexed(half)}),
    ]
    return job(submission.word(JOB_BYTES, PROVIDERS[0])), letters, {sha256(sealed).digest(): sealed}


def found(state: JobState, letters: list[Letter]) -> Parcel:
    parcel = find_parcel(KEYS, state, 0, letters)
    assert parcel is not None
    return parcel


def test_both_letters_open_the_weights() -> None:
    state, letters, store = delivered()
    assert open_parcel(found(state, letters), state, lambda digest, limit: store[digest]) == WEIGHTS


@pytest.mark.parametrize("kept", [[0], [1], []])
def test_one_letter_opens_nothing(kept: list[int]) -> None:
    """P4.4: either half alone is worthless."""
    state, letters, _ = delivered()
    assert find_parcel(KEYS, state, 0, [letters[i] for i in kept]) is None


def test_half_b_is_taken_from_an_answer_on_chain_too() -> None:
    state, letters, _ = delivered()
    answered = replace(state, answers=((State.SCORED, 1, 0, encode_answer(letters[1:])),))
    assert found(answered, letters[:1]).half_b == HALF_B


def test_forged_letters_before_the_genuine_ones_do_no_harm() -> None:
    state, letters, _ = delivered()
    forged = [
        Letter(JOB, letters[0].kind, PROVIDERS[3], KEYS.address, {**letters[0].body, "weightsHash": hexed(bytes(32))}),
        Letter(JOB, letters[0].kind, PROVIDERS[3], KEYS.address, {**letters[0].body, "envelopeA": "0x00"}),
        Letter(JOB, letters[0].kind, PROVIDERS[3], KEYS.address, {"lane": 0}),
        Letter(JOB, letters[1].kind, PROVIDERS[3], KEYS.address, {"lane": 0, "envelope": hexed(bytes(80))}),
        Letter(JOB, letters[1].kind, PROVIDERS[3], KEYS.address, {"lane": "x", "envelope": "zz"}),
        replace(letters[1], job=type(JOB)("0x" + "ab" * 32)),
    ]
    assert found(state, [*forged, *letters]).half_b == HALF_B
    assert find_parcel(KEYS, state, 0, [*forged, letters[0]]) is None


def test_weights_that_are_not_those_of_the_word_are_refused() -> None:
    state, letters, store = delivered(weights=b"what was promised")
    with pytest.raises(BadEnvelope, match="not those of the word"):
        open_parcel(found(state, letters), state, lambda digest, limit: store[digest])


@pytest.mark.parametrize(
    "promised, is_stored, opens", [(WEIGHTS, True, True), (WEIGHTS, False, False), (b"what was promised", True, False)]
)
def test_a_lane_opens_only_if_its_weights_do(tmp_path: Path, promised: bytes, is_stored: bool, opens: bool) -> None:
    """P6.6: both halves may be here, and no store have what they open, or something else."""
    state, letters, sealed = delivered(weights=promised)
    client = Client(Network("test", 31337, "0x0", (), "0x0", "0x0", 0, "0x0", ()), KEYS, home=tmp_path)
    with DiskStore(tmp_path / "store") as store:
        for blob in sealed.values() if is_stored else ():
            store.put(blob)
        vars(client).update(stores=store, mail=SimpleNamespace(fetch=lambda job: letters))
        assert client.opens(state, 0) is opens
