"""From what a provider sent to the weights that were paid for, believing none of it (P4.4).

submission letter ── its hashes are the preimage of the word on chain ──▶ sealed weights, envelope of a
half_b letter ───── its hash is in that preimage ──────────────────────▶ b
a ‖ b ── opens the sealed weights ── their hash is in that preimage
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from heldout.market.errors import BadEnvelope, BadMessage
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState
from heldout.market.messages import Kind, Letter, Submission, decode_answer
from heldout.market.sealing import SEAL_OVERHEAD, envelope_context, open_envelope, open_weights

Get = Callable[[bytes, int], bytes]
"""The artifact with this SHA-256, of at most so many bytes."""


@dataclass(frozen=True)
class Parcel:
    """Everything that opens one lane's weights."""

    lane: int
    submission: Submission
    half_a: bytes
    half_b: bytes


def find_parcel(keys: KeyRing, job: JobState, lane: int, letters: Iterable[Letter]) -> Parcel | None:
    """What the letters, and the answers on chain, hold for a lane; None while something is lacking."""
    known = [*letters, *(letter for answer in job.answers for letter in decode_answer(answer[3]))]
    fitting = [letter for letter in known if letter.job == job.id and _of_lane(letter, lane)]
    for letter in fitting:
        found = _read_submission(keys, job, lane, letter) if letter.kind is Kind.SUBMISSION else None
        if found is None:
            continue
        submission, half_a = found
        half_b = _find_half_b(keys, job, lane, fitting, submission.half_b_hash)
        if half_b is not None:
            return Parcel(lane, submission, half_a, half_b)
    return None


def open_parcel(parcel: Parcel, job: JobState, get: Get) -> bytes:
    """The weights file. Raises BadEnvelope, StoreProblem."""
    sealed = get(parcel.submission.sealed_hash, job.terms.weightsBytes + SEAL_OVERHEAD)
    provider = job.lanes[parcel.lane].provider
    weights = open_weights(parcel.half_a, parcel.half_b, sealed, bytes.fromhex(job.id[2:]), provider)
    if sha256(weights).digest() != parcel.submission.weights_hash:
        raise BadEnvelope("the weights are not those of the word on chain", hint="appeal, or demand what was promised")
    return weights


def _of_lane(letter: Letter, lane: int) -> bool:
    try:
        return letter.kind in (Kind.SUBMISSION, Kind.HALF_B) and letter.int_of("lane") == lane
    except BadMessage:
        return False


def _read_submission(keys: KeyRing, job: JobState, lane: int, letter: Letter) -> tuple[Submission, bytes] | None:
    """The preimage of the word on chain, and half a; who carried the letter does not matter."""
    provider, word = job.lanes[lane].provider, job.lanes[lane].word
    try:
        envelope = letter.bytes_of("envelopeA")
        submission = Submission(
            weights_hash=letter.bytes_of("weightsHash"),
            sealed_hash=letter.bytes_of("sealedHash"),
            half_b_hash=letter.bytes_of("halfBHash"),
            envelope_hash=sha256(envelope).digest(),
        )
        if submission.word(bytes.fromhex(job.id[2:]), provider) != word:
            return None
        context = envelope_context(bytes.fromhex(job.id[2:]), Kind.SUBMISSION, provider, keys.address)
        return submission, open_envelope(keys.wrap_private, envelope, context)
    except (BadMessage, BadEnvelope, ValueError):
        return None


def _find_half_b(keys: KeyRing, job: JobState, lane: int, letters: Iterable[Letter], expected: bytes) -> bytes | None:
    provider = job.lanes[lane].provider
    context = envelope_context(bytes.fromhex(job.id[2:]), Kind.HALF_B, provider, keys.address)
    for letter in letters:
        if letter.kind is not Kind.HALF_B:
            continue
        try:
            half = open_envelope(keys.wrap_private, letter.bytes_of("envelope"), context)
        except (BadMessage, BadEnvelope):
            continue
        if sha256(half).digest() == expected:
            return half
    return None
