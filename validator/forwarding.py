"""Handing on what one has to seats of the same round that lack it (P4.3).

A letter may have been lost on its way to one seat only. That seat demands it on chain; before its sender must answer,
the others hand theirs on: who brings a letter does not matter, since it is held against the chain by whoever opens it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256

from heldout.market.chain.views import Recipient
from heldout.market.errors import BadEnvelope, BadMessage
from heldout.market.messages import Letter, hexed
from heldout.market.sealing import envelope_context, make_envelope
from heldout.validator.opening import Reader

Seed = Callable[..., bytes]
"""KeyRing.seed: 32 bytes for these parts."""


def handed_on(letters: Iterable[Letter], reader: Reader, seed: Seed, to: Recipient) -> Iterator[Letter]:
    """Each letter that opens for `reader`, wrapped again for a seat, the rest of it unchanged."""
    for letter in letters:
        try:
            secret = reader.open(letter)
        except (BadEnvelope, BadMessage):
            continue
        job = bytes.fromhex(letter.job[2:])
        context = envelope_context(job, letter.kind, reader.address, to.address)
        named = (letter.kind.encode(), bytes.fromhex(to.address[2:]), to.wrap_key, sha256(secret).digest())
        envelope = make_envelope(seed(b"forward", job, *named), to.wrap_key, secret, context)
        body = {**letter.body, "envelope": hexed(envelope)}
        yield replace(letter, sender=reader.address, receiver=to.address, body=body)
