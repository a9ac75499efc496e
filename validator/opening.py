"""Opening what a seat is sent, and believing none of it (P4.3 to P4.5).

    word on chain ── preimage ──▶ hashes of weights, sealed weights, b, envelope of a
    letter ── my envelope ──▶ a ‖ b ‖ seed ── seed makes the envelope of a again ──▶ its hash is in the word
                              a ‖ b ── opens the sealed weights ──▶ their hash is in the word
    letter ── my envelope ──▶ shard keys ── open the sealed shards ──▶ key and plaintext are in the data root

So it does not matter who carried or forwarded a letter: what opens is what was fixed on chain. Every function raises
BadEnvelope or BadMessage for a letter that does not fit, and StoreProblem for bytes that no store has (yet).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from heldout.market.errors import BadEnvelope
from heldout.market.messages import Kind, Letter, Submission
from heldout.market.sealing import (
    LEAF_BYTES,
    SEAL_OVERHEAD,
    Leaf,
    decode_leaves,
    envelope_context,
    make_envelope,
    open_envelope,
    open_shard,
    open_weights,
    reopen_envelope,
)
from heldout.market.terms import Address, JobId, JobTerms

KEY_BYTES = 32

Get = Callable[[bytes, int], bytes]
"""The artifact with this SHA-256, of at most so many bytes."""


@dataclass(frozen=True)
class Reader:
    """Who opens: a hot address and the private half of its wrapping key."""

    address: Address
    wrap_private: bytes

    def open(self, letter: Letter) -> bytes:
        """What the letter's envelope holds, if it was made for this reader, job and kind."""
        if letter.receiver.lower() != self.address.lower():
            raise BadEnvelope("the letter is for somebody else")
        context = envelope_context(bytes.fromhex(letter.job[2:]), letter.kind, letter.sender, letter.receiver)
        return open_envelope(self.wrap_private, letter.bytes_of("envelope"), context)


@dataclass(frozen=True)
class Entry:
    """What the chain says of one lane that was submitted."""

    job: JobId
    lane: int
    provider: Address
    provider_key: bytes
    """X25519 public key of the accepted bid."""
    word: bytes


# ------------------------------------------------------------------------------------------------- weights


def open_submission(entry: Entry, terms: JobTerms, letter: Letter, reader: Reader, get: Get) -> bytes:
    """The weights file of a lane, proved to be the one whose word is on chain (P4.4)."""
    half_a, half_b = _halves(entry, terms, letter, reader)
    sealed_hash, weights_hash = letter.bytes_of("sealedHash"), letter.bytes_of("weightsHash")
    job = bytes.fromhex(entry.job[2:])
    sealed = get(sealed_hash, terms.weightsBytes + SEAL_OVERHEAD)
    weights = open_weights(half_a, half_b, sealed, job, entry.provider)
    if sha256(weights).digest() != weights_hash:
        raise BadEnvelope("the weights are not those of the word on chain")
    return weights


def _halves(entry: Entry, terms: JobTerms, letter: Letter, reader: Reader) -> tuple[bytes, bytes]:
    """a and b, once every hash in the word is accounted for, the requester's envelope included."""
    if letter.int_of("lane") != entry.lane:
        raise BadEnvelope("the letter is about another lane")
    secret = reader.open(letter)
    if len(secret) != 3 * KEY_BYTES:
        raise BadEnvelope("a submission's envelope must hold a, b and a seed, 32 bytes each")
    half_a, half_b, seed = (secret[i : i + KEY_BYTES] for i in range(0, len(secret), KEY_BYTES))
    job = bytes.fromhex(entry.job[2:])
    context = envelope_context(job, Kind.SUBMISSION, entry.provider, terms.requester)
    to_requester = make_envelope(seed, terms.wrapKey, half_a, context)
    if to_requester != letter.bytes_of("envelopeA"):
        raise BadEnvelope("the requester's envelope does not hold the half that opens the weights")
    submission = Submission(
        weights_hash=letter.bytes_of("weightsHash"),
        sealed_hash=letter.bytes_of("sealedHash"),
        half_b_hash=sha256(half_b).digest(),
        envelope_hash=sha256(to_requester).digest(),
    )
    if submission.word(job, entry.provider) != entry.word:
        raise BadEnvelope("the letter is not the preimage of the word on chain")
    return half_a, half_b


# -------------------------------------------------------------------------------------------------- shards


@dataclass(frozen=True)
class HeldOutSecret:
    """What the requester's letter to a seat holds: the held-out shards' keys in the split's order, and the seeds of the
    training envelopes of the lanes that submitted NO_KEYS, in the lanes' order (P4.5)."""

    keys: tuple[bytes, ...]
    seeds: tuple[bytes, ...]

    @staticmethod
    def decode(secret: bytes, held_out: int) -> "HeldOutSecret":
        if len(secret) % KEY_BYTES or len(secret) < held_out * KEY_BYTES:
            raise BadEnvelope(f"{held_out} shard keys need {held_out * KEY_BYTES} bytes, not {len(secret)}")
        parts = [secret[i : i + KEY_BYTES] for i in range(0, len(secret), KEY_BYTES)]
        return HeldOutSecret(tuple(parts[:held_out]), tuple(parts[held_out:]))


def fetch_leaves(terms: JobTerms, get: Get) -> tuple[Leaf, ...]:
    """The list of shard leaves whose hash is the data root."""
    return decode_leaves(get(terms.dataRoot, terms.shards * LEAF_BYTES), terms.shards)


def open_shards(keys: Sequence[Collection[bytes]], shards: Sequence[int], terms: JobTerms, get: Get) -> Iterator[bytes]:
    """The files in these shards, one after the other, each proved to have been fixed before the job was posted (P2.4).

    `keys` are those that were offered for each: the first that opens it is the right one, and however many there are a
    shard is fetched once.
    """
    if len(keys) != len(shards):
        raise BadEnvelope(f"{len(shards)} shards need as many keys, not {len(keys)}")
    leaves = fetch_leaves(terms, get)
    for offered, shard in zip(keys, shards, strict=True):
        yield _open_with_any(offered, get(leaves[shard].sealed_hash, terms.shardBytes + SEAL_OVERHEAD), leaves[shard])


def _open_with_any(keys: Collection[bytes], sealed: bytes, leaf: Leaf) -> bytes:
    *others, last = keys
    for key in others:
        with suppress(BadEnvelope):
            return open_shard(key, sealed, leaf)
    return open_shard(last, sealed, leaf)


def check_training_envelope(
    entry: Entry, terms: JobTerms, answered: Letter, seed: bytes, training: Sequence[int], get: Get
) -> None:
    """Whether the training keys that a provider claims not to have got were delivered after all (P4.2, P4.5).

    The seed remakes what only the receiver could open, so nobody's private key is needed. Returns if the answered
    envelope holds the keys of all training shards; raises if it does not.
    """
    context = envelope_context(bytes.fromhex(entry.job[2:]), Kind.TRAINING_KEYS, terms.requester, entry.provider)
    secret = reopen_envelope(seed, entry.provider_key, answered.bytes_of("envelope"), context)
    keys = [(secret[i : i + KEY_BYTES],) for i in range(0, len(secret), KEY_BYTES)]
    for _ in open_shards(keys, training, terms, get):
        pass
