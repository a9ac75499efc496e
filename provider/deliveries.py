"""Sealing the weights, and the letters a provider owes: to the requester, to drawn seats, to the chain (P4.3, P4.4).

Everything is derived from the key ring, the job and the weights: taken twice, a step makes the same bytes, and no key
ever seals two plaintexts. Nothing here sends.
"""

from collections.abc import Iterable
from hashlib import sha256

from eth_typing import Hash32

from heldout.market.agreeing import outcome_letter
from heldout.market.chain.views import Recipient
from heldout.market.errors import BadEnvelope
from heldout.market.keys import KeyRing
from heldout.market.made import Sealed
from heldout.market.messages import AgreedOutcome, Bid, Kind, Letter, bid_letter, hexed
from heldout.market.money import Wei
from heldout.market.relayed import Waiver, sign, waiver_letter
from heldout.market.runrecord import RunRecord
from heldout.market.sealing import (
    envelope_context,
    make_envelope,
    open_checkpoint,
    open_envelope,
    seal_checkpoint,
    seal_weights,
)
from heldout.market.settings import Network
from heldout.market.terms import Address, JobId, JobTerms, Timestamp


class Deliveries:
    """Of one provider, by its key ring."""

    def __init__(self, keys: KeyRing, network: Network) -> None:
        self._keys = keys
        self._network = network

    @property
    def me(self) -> Address:
        return self._keys.address

    def bid(self, job: JobId, price: Wei, valid_until: Timestamp) -> Letter:
        """A signed offer. Its nonce belongs to the job, so that one job sees one bid of this node."""
        nonce = int.from_bytes(self._keys.seed(b"bid-nonce", _bytes(job))[:16], "big")
        bid = Bid(_bytes(job), self.me, price, self._keys.wrap_public, valid_until, nonce)
        digest = bid.digest(self._network.chain_id, self._network.market)
        return bid_letter(bid, bytes(self._keys.account.unsafe_sign_hash(Hash32(digest)).signature))

    def training_keys(self, letter: Letter, requester: Address, count: int) -> bytes:
        """The keys in a requester's letter, 32 bytes each. Raises BadEnvelope, BadMessage."""
        context = envelope_context(_bytes(letter.job), Kind.TRAINING_KEYS, requester, self.me)
        keys = open_envelope(self._keys.wrap_private, letter.bytes_of("envelope"), context)
        if len(keys) != 32 * count:
            raise BadEnvelope(f"{count} shard keys have {32 * count} bytes, not {len(keys)}")
        return keys

    def seal(self, job: JobId, terms: JobTerms, weights: bytes) -> tuple[Sealed, bytes]:
        """The sealed weights, and everything that opens them and proves what they are."""
        weights_hash = sha256(weights).digest()
        half_a, half_b, seed = (
            self._keys.seed(name, _bytes(job), weights_hash) for name in (b"half-a", b"half-b", b"envelope-a")
        )
        blob = seal_weights(half_a, half_b, weights, _bytes(job), self.me)
        context = envelope_context(_bytes(job), Kind.SUBMISSION, self.me, terms.requester)
        envelope = make_envelope(seed, terms.wrapKey, half_a, context)
        hashes = (weights_hash.hex(), sha256(blob).hexdigest())
        return Sealed(*hashes, half_a.hex(), half_b.hex(), envelope.hex(), seed.hex()), blob

    def checkpoint(self, job: JobId, sequence: int, archive: bytes) -> tuple[Letter, bytes]:
        """A sealed checkpoint, and the letter to this node itself that finds and opens it, on whatever machine it has
        its keys."""
        salt = self._keys.seed(b"checkpoint-salt", _bytes(job), sha256(archive).digest())
        blob = seal_checkpoint(self._checkpoint_key(job, salt), archive, _bytes(job), self.me)
        body = {"sequence": sequence, "salt": hexed(salt), "sealedHash": hexed(sha256(blob).digest())}
        return Letter(job, Kind.CHECKPOINT, self.me, self.me, body), blob

    def open_checkpoint(self, letter: Letter, blob: bytes) -> bytes:
        """The archive. Raises BadEnvelope, BadMessage: a carrier may have made the letter up."""
        key = self._checkpoint_key(letter.job, letter.bytes_of("salt"))
        return open_checkpoint(key, blob, _bytes(letter.job), self.me)

    def _checkpoint_key(self, job: JobId, salt: bytes) -> bytes:
        return self._keys.seed(b"checkpoint", _bytes(job), salt)

    def to_requester(self, job: JobId, lane: int, terms: JobTerms, sealed: Sealed) -> Letter:
        """The preimage of the word on chain and half a. Half b follows if the lane pays."""
        return self._submission(job, lane, sealed, terms.requester, b"")

    def run_record(self, record: RunRecord) -> Letter:
        """How the training ran, signed, for everybody."""
        return record.letter(self._keys.account)

    def to_seats(self, job: JobId, lane: int, round_: int, sealed: Sealed, seats: Iterable[Recipient]) -> list[Letter]:
        """One letter for each hot key and wrapping key among the drawn seats, with what opens the weights. A seat whose
        wrapping key is unusable gets none: it could not be answered on chain either."""
        secret = b"".join(bytes.fromhex(part) for part in (sealed.half_a, sealed.half_b, sealed.seed_a))
        letters = []
        for seat in dict.fromkeys(seats):
            hot, weights = bytes.fromhex(seat.address[2:]), bytes.fromhex(sealed.weights_hash)
            seed = self._keys.seed(b"to-seat", _bytes(job), bytes([round_]), hot, seat.wrap_key, weights)
            context = envelope_context(_bytes(job), Kind.SUBMISSION, self.me, seat.address)
            try:
                envelope = make_envelope(seed, seat.wrap_key, secret, context)
            except BadEnvelope:
                continue
            letters.append(self._submission(job, lane, sealed, seat.address, envelope))
        return letters

    def half(self, job: JobId, lane: int, terms: JobTerms, sealed: Sealed) -> Letter:
        """Half b to the requester of a lane that pays."""
        seed = self._keys.seed(b"to-requester", _bytes(job), bytes.fromhex(sealed.weights_hash))
        context = envelope_context(_bytes(job), Kind.HALF_B, self.me, terms.requester)
        envelope = make_envelope(seed, terms.wrapKey, bytes.fromhex(sealed.half_b), context)
        return Letter(job, Kind.HALF_B, self.me, terms.requester, {"lane": lane, "envelope": hexed(envelope)})

    def waiver(self, waiver: Waiver, receiver: Address) -> Letter:
        """This provider's consent to a result, signed (P6.1)."""
        digest = waiver.digest(self._network.chain_id, self._network.market)
        return waiver_letter(waiver, sign(self._keys.account, digest), self.me, receiver)

    def outcome(self, outcome: AgreedOutcome, requester: Address) -> Letter:
        """This provider's consent to an outcome that the requester proposed, signed (P6.1)."""
        digest = outcome.digest(self._network.chain_id, self._network.market)
        return outcome_letter(outcome, sign(self._keys.account, digest), self.me, requester)

    def _submission(self, job: JobId, lane: int, sealed: Sealed, receiver: Address, envelope: bytes) -> Letter:
        body = {
            "lane": lane,
            "weightsHash": "0x" + sealed.weights_hash,
            "sealedHash": "0x" + sealed.sealed_hash,
            "halfBHash": hexed(sealed.submission.half_b_hash),
            "envelopeA": "0x" + sealed.envelope_a,
            "envelope": hexed(envelope) if envelope else "",
        }
        return Letter(job, Kind.SUBMISSION, self.me, receiver, body)


def _bytes(job: JobId) -> bytes:
    return bytes.fromhex(job[2:])
