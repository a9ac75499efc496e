"""What a provider has to measure its own lane again: its node's journal, and the requester's letter (P4.4, P4.6)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from heldout.market.chain import Chain
from heldout.market.errors import BadEnvelope, BadInput, BadMessage
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState
from heldout.market.made import sealed_in
from heldout.market.messages import Kind, Letter, decode_answer
from heldout.market.sealing import SEAL_OVERHEAD, envelope_context, open_envelope, open_weights
from heldout.requester_cli.opening import Get
from heldout.requester_cli.verifying import Check, measure

KEY_BYTES = 32


def own_weights(home: Path, job: JobState, lane: int, get: Get) -> bytes:
    """The weights that this home's node submitted, from the stores. Raises BadInput, BadEnvelope, StoreProblem."""
    raw, provider = bytes.fromhex(job.id[2:]), job.lanes[lane].provider
    sealed = sealed_in(home, job.id)
    if sealed is None or sealed.submission.word(raw, provider) != job.lanes[lane].word:
        hint = "name the provider's own --home, or the file with --weights"
        raise BadInput(f"the node here did not submit lane {lane}", hint=hint, code="not_delivered")
    blob = get(bytes.fromhex(sealed.sealed_hash), job.terms.weightsBytes + SEAL_OVERHEAD)
    return open_weights(bytes.fromhex(sealed.half_a), bytes.fromhex(sealed.half_b), blob, raw, provider)


def verify_own(
    chain: Chain, keys: KeyRing, job: JobState, weights: Mapping[int, bytes], letters: Iterable[Letter], get: Get
) -> list[Check]:
    """Score a provider's own weights with the keys it was sent. Raises BadInput `keys_not_sent` if none open."""
    if job.accept_block is not None:
        held_out = chain.split(job.terms, job.accept_block).held_out
        for secret in _secrets(keys, job, letters):
            offered = {shard: secret[i * KEY_BYTES : (i + 1) * KEY_BYTES] for i, shard in enumerate(held_out)}
            try:
                return measure(chain, offered.__getitem__, job, weights, get)
            except BadEnvelope:
                continue  # of a letter that somebody made up
    hint = "they come while a challenge runs; a job that requester and providers conclude by waivers has none"
    raise BadInput("the requester has sent you no held-out keys that open", hint=hint, code="keys_not_sent")


def _secrets(keys: KeyRing, job: JobState, letters: Iterable[Letter]) -> Iterator[bytes]:
    """What the requester's letters to this provider hold, as letters or as answers on chain."""
    known = [*letters, *(letter for answer in job.answers for letter in decode_answer(answer[3]))]
    context = envelope_context(bytes.fromhex(job.id[2:]), Kind.HELD_OUT_KEYS, job.terms.requester, keys.address)
    for letter in known:
        if letter.job == job.id and letter.kind is Kind.HELD_OUT_KEYS:
            try:
                yield open_envelope(keys.wrap_private, letter.bytes_of("envelope"), context)
            except (BadMessage, BadEnvelope):
                continue
