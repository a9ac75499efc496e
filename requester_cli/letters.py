"""The letters a requester owes, made again from the key ring and the chain alone, so that nothing of them need be kept.

An envelope's seed is derived from what is inside, for whom, and in which job: the same letter comes out after a crash,
on another disk, and from a keeper that the keys were handed to. Two different plaintexts never share a key, and the
seed can be shown later (P4.2, P4.5).
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from heldout.market.chain.views import Recipient
from heldout.market.lifecycle import JobState
from heldout.market.messages import NO_KEYS, Kind, Letter, hexed
from heldout.market.sealing import derive, envelope_context, make_envelope
from heldout.market.split import Split
from heldout.market.terms import Address, JobTerms


class Holder(Protocol):
    """Who can release shard keys: the requester's key ring, or a keeper of what was handed to it."""

    @property
    def address(self) -> Address:
        """The requester's."""

    def order_key(self, salt: bytes) -> bytes:
        """The secret beside the shard keys of the data sealed under `salt`."""

    def shard_key(self, salt: bytes, index: int) -> bytes:
        """The key of one shard of the data sealed under `salt`."""


class Writer:
    """Writes for one job whose split is drawn."""

    def __init__(self, keys: Holder, job: JobState, split: Split) -> None:
        self._keys = keys
        self.job = job
        self._id = bytes.fromhex(job.id[2:])
        self.split = split

    def training_keys(self, lane: int) -> Letter:
        return self._letter(Kind.TRAINING_KEYS, self._provider(lane), self._training_secret())

    def held_out_keys(self, recipient: Recipient) -> Letter:
        """To a seat or, once scored, to a provider: the keys, then a seed for each lane that submitted NO_KEYS."""
        disputed = [index for index, lane in enumerate(self.job.lanes) if lane.word == NO_KEYS]
        seeds = [self._seed(Kind.TRAINING_KEYS, self._provider(i), self._training_secret()) for i in disputed]
        secret = shard_keys(self._keys, self.job.terms, self.split.held_out)
        return self._letter(Kind.HELD_OUT_KEYS, recipient, b"".join((secret, *seeds)))

    def held_out_keys_for_lane(self, lane: int) -> Letter:
        return self.held_out_keys(self._provider(lane))

    def _provider(self, lane: int) -> Recipient:
        return Recipient(self.job.lanes[lane].provider, self.job.lanes[lane].wrap_key)

    def _training_secret(self) -> bytes:
        return shard_keys(self._keys, self.job.terms, self.split.training)

    def _seed(self, kind: Kind, recipient: Recipient, secret: bytes) -> bytes:
        address = bytes.fromhex(recipient.address[2:])
        parts = (kind.encode(), self._id, address, recipient.wrap_key, sha256(secret).digest())
        return derive(self._keys.order_key(self.job.terms.salt), "heldout/letter-seed/v1", *parts)

    def _letter(self, kind: Kind, recipient: Recipient, secret: bytes) -> Letter:
        context = envelope_context(self._id, kind, self._keys.address, recipient.address)
        envelope = make_envelope(self._seed(kind, recipient, secret), recipient.wrap_key, secret, context)
        return Letter(self.job.id, kind, self._keys.address, recipient.address, {"envelope": hexed(envelope)})


def shard_keys(keys: Holder, terms: JobTerms, shards: Sequence[int]) -> bytes:
    """The keys of these shards, one after the other. The data's salt is the terms' salt."""
    return b"".join(keys.shard_key(terms.salt, shard) for shard in shards)
