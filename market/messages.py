"""What parties sign, commit to and send each other (P3.1, P3.5, P4.4, P8). Pure: building and reading, no sending."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json, read_json
from heldout.market.money import Wei
from heldout.market.terms import Address, JobId, is_address, keccak256, typed_digest, words

# ------------------------------------------------------------------------------------------- bids (EIP-712)

_BID_TYPE = keccak256(b"Bid(bytes32 job,address provider,uint96 price,bytes32 wrapKey,uint64 validUntil,uint256 nonce)")


@dataclass(frozen=True)
class Bid:
    """A provider's offer for one lane of one job, field for field the contract's struct."""

    job: bytes
    provider: Address
    price: Wei
    wrapKey: bytes
    validUntil: int
    nonce: int

    def as_tuple(self) -> tuple[Any, ...]:
        return (self.job, self.provider, self.price, self.wrapKey, self.validUntil, self.nonce)

    def digest(self, chain_id: int, market: str) -> bytes:
        """The 32 bytes a provider signs; ERC-1271 wallets are asked about the same."""
        struct = keccak256(words((_BID_TYPE, *self.as_tuple())))
        return typed_digest(chain_id, market, struct)


# --------------------------------------------------------------------------------------- outcomes (EIP-712)

_AGREED_LANE = b"AgreedLane(address provider,bytes32 word,uint32 score,uint256 payout)"
_AGREED_LANE_TYPE = keccak256(_AGREED_LANE)
_OUTCOME_TYPE = keccak256(b"Outcome(bytes32 job,uint64 validUntil,AgreedLane[] lanes)" + _AGREED_LANE)


@dataclass(frozen=True)
class AgreedLane:
    """A lane as requester and providers agree that it ends (P6.1), field for field the contract's struct."""

    provider: Address
    word: bytes
    """Of what was delivered (`Submission.word`); 32 zero bytes if nothing was."""
    score: int
    """Parts per million, or a code; measured by nobody."""
    payout: Wei
    """To the provider, royalties included."""

    def as_tuple(self) -> tuple[Any, ...]:
        return (self.provider, self.word, self.score, self.payout)


@dataclass(frozen=True)
class AgreedOutcome:
    """The message `Outcome`: how a job ends, signed by the requester and by every lane's provider (P6.1)."""

    job: bytes
    validUntil: int
    """Unix seconds, inclusive."""
    lanes: tuple[AgreedLane, ...]
    """By number. Of a job that was accepted: all its lanes."""

    def digest(self, chain_id: int, market: str) -> bytes:
        """The 32 bytes that are signed; ERC-1271 wallets are asked about the same."""
        lanes = keccak256(b"".join(keccak256(words((_AGREED_LANE_TYPE, *lane.as_tuple()))) for lane in self.lanes))
        return typed_digest(chain_id, market, keccak256(words((_OUTCOME_TYPE, self.job, self.validUntil, lanes))))


# --------------------------------------------------------------------------------------------------- votes

HIGHEST_SCORE: Final = 0xFFFFFF00
BAD: Final = 0xFFFFFF01
"""Opened, but fails the strict check of P9.1."""
MISSING: Final = 0xFFFFFF02
"""The provider's weights were not delivered."""
NO_DATA: Final = 0xFFFFFF03
"""The requester's held-out keys were not delivered."""
CODES: Final = {BAD: "BAD", MISSING: "MISSING", NO_DATA: "NO_DATA"}


def pack_vote(lanes: Sequence[int]) -> bytes:
    """Eight 32-bit lanes in one word, lane 0 in the lowest bits; unused lanes are zero (P3.1)."""
    if not 1 <= len(lanes) <= 8 or any(not 0 <= v <= 0xFFFFFFFF for v in lanes):
        raise ValueError(f"not a vote: {lanes!r}")
    return sum(value << (32 * lane) for lane, value in enumerate(lanes)).to_bytes(32, "big")


def unpack_vote(vote: bytes, lanes: int) -> tuple[int, ...]:
    """The first `lanes` values of a vote or result word."""
    packed = int.from_bytes(vote, "big")
    return tuple(packed >> (32 * lane) & 0xFFFFFFFF for lane in range(lanes))


def describe_score(value: int) -> str:
    """`0.961111` for 961,111 ppm, or the name of a code."""
    return CODES.get(value) or f"{value / 1_000_000:.6f}"


def commit_hash(
    chain_id: int, market: str, job: bytes, round_: int, seat: int, vote: bytes, evidence: bytes, salt: bytes
) -> bytes:
    """What a seat commits to (P3.5), bound to chain, market, job, round and seat: a copied commit cannot be opened."""
    return keccak256(words((chain_id, market, job, round_, seat, vote, evidence, salt)))


def commit_link(place: int, hash_: bytes) -> bytes:
    """One commit as the contract chains it: the place is part of it."""
    return keccak256(words((place, hash_)))


def beside(commits: Iterable[tuple[int, bytes]], place: int) -> tuple[bytes, list[bytes]]:
    """What a reveal shows of the other commits of its round: the chain of those before it, and the links after it.

    `commits` are (place, hash) in the order of the chain. Raises BadMessage if `place` is not among them.
    """
    earlier, own, later = bytes(32), False, []
    for each, hash_ in commits:
        if each == place:
            own = True
        elif own:
            later.append(commit_link(each, hash_))
        else:
            earlier = keccak256(earlier + commit_link(each, hash_))
    if not own:
        raise BadMessage(f"place {place} has not committed")
    return earlier, later


def commit_chain(earlier: bytes, links: Iterable[bytes]) -> bytes:
    """The word a market stores of a round's commits: `earlier` with `links` appended; 32 zero bytes for none."""
    for link in links:
        earlier = keccak256(earlier + link)
    return earlier


def evidence_root(per_lane: Iterable[bytes]) -> bytes:
    """One hash over the lanes' evidences (P9.5), each the SHA-256 of a lane's per-row predictions."""
    return sha256(b"".join(per_lane)).digest()


# --------------------------------------------------------------------------------------------- submissions

NO_KEYS: Final = keccak256(b"heldout/no-keys")
"""Submitted instead of a word when the training envelope R answered with does not open (P4.5)."""


@dataclass(frozen=True)
class Submission:
    """The preimage of a submit word (P4.4). All hashes are SHA-256."""

    weights_hash: bytes
    sealed_hash: bytes
    half_b_hash: bytes
    envelope_hash: bytes
    """Of the envelope that carries half a to the requester."""

    def word(self, job: bytes, provider: Address) -> bytes:
        """H(jobId, provider, weightsHash, sealedHash, H(b), H(envelope of a to R)): the one word on chain."""
        return keccak256(
            words((job, provider, self.weights_hash, self.sealed_hash, self.half_b_hash, self.envelope_hash))
        )


# ------------------------------------------------------------------------------------------------- letters


class Kind(StrEnum):
    """What a letter is for."""

    CALL = "call"
    BID = "bid"
    TRAINING_KEYS = "training_keys"
    SUBMISSION = "submission"
    HELD_OUT_KEYS = "held_out_keys"
    HALF_B = "half_b"
    RUN_RECORD = "run_record"
    CHECKPOINT = "checkpoint"
    SCORE_COMMIT = "score_commit"
    SCORE_REVEAL = "score_reveal"
    WAIVER = "waiver"
    OUTCOME = "outcome"


PROVEN: Final = (Kind.CALL, Kind.BID)
"""Kinds that prove themselves by a signature: whoever brings them need not be signed in."""
BULLETIN: Final = "bulletin"
"""Receiver of letters that everybody may read: calls for bids, bids and run records."""


@dataclass(frozen=True)
class Letter:
    """A message between the parties of one job. Its body proves itself (signatures, envelopes, hashes on chain), so the
    carrier, be it the market service or the chain's `announce`, is never trusted with more than delivery.

    Bodies (hex is 0x-prefixed, amounts are decimal strings):
      call           {terms, until, signature}   a job that is not posted yet (heldout.market.calling)
      bid            {price, wrapKey, validUntil, nonce, signature}
      training_keys  {envelope}                  of the training shards' keys, 32 bytes each, in the split's order
      submission     {lane, weightsHash, sealedHash, halfBHash, envelopeA, envelope}
                     envelope is of a ‖ b ‖ seed of envelopeA, to a seat; empty in the requester's copy
      held_out_keys  {envelope}                  of the held-out shards' keys, 32 bytes each, in the split's order
      half_b         {lane, envelope}            of b
      run_record     {…, signature}              how the training ran (heldout.market.runrecord)
      checkpoint     {sequence, salt, sealedHash} a provider's to itself: where its newest sealed checkpoint lies
      score_commit   {round, seat, hash, signature}           for anybody to post (heldout.market.relayed)
      score_reveal   {round, place, vote, evidence, salt}     the commit of that place, opened
      waiver         {round, result, signature}               consent to the result as it stands
      outcome        {validUntil, lanes, signature}           how the job is to end (heldout.market.agreeing)
    """

    job: JobId
    kind: Kind
    sender: Address
    receiver: str
    body: dict[str, Any]

    def encode(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8."""
        return canonical_json(
            {"job": self.job, "kind": self.kind, "sender": self.sender, "receiver": self.receiver, "body": self.body}
        )

    @staticmethod
    def decode(data: bytes) -> "Letter":
        """Raises BadMessage for anything `encode` would not have made."""
        try:
            raw = read_json(data)
            letter = Letter(JobId(raw["job"]), Kind(raw["kind"]), Address(raw["sender"]), raw["receiver"], raw["body"])
            genuine = isinstance(letter.body, dict) and _is_addressed(letter) and letter.encode() == bytes(data)
        except (ValueError, KeyError, TypeError):
            genuine = False
        if not genuine:
            raise BadMessage("not a letter of this protocol", hint="ignore it; its sender may run other software")
        return letter

    def bytes_of(self, field: str) -> bytes:
        """A hex field of the body. Raises BadMessage."""
        try:
            return bytes.fromhex(self.body[field].removeprefix("0x"))
        except (KeyError, AttributeError, ValueError):
            raise BadMessage(f"a {self.kind} letter needs the hex field {field!r}") from None

    def int_of(self, field: str) -> int:
        """An integer field of the body, a JSON number or a decimal string. Raises BadMessage."""
        try:
            value = self.body[field]
            return int(value) if not isinstance(value, bool | float) else int("not an integer")
        except (KeyError, ValueError, TypeError):
            raise BadMessage(f"a {self.kind} letter needs the integer field {field!r}") from None


def _is_addressed(letter: Letter) -> bool:
    """Raises TypeError for what is no text."""
    fits = re.fullmatch(r"0x[0-9a-f]{64}", letter.job, re.ASCII) and is_address(letter.sender)
    return bool(fits and (letter.receiver == BULLETIN or is_address(letter.receiver)))


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def encode_answer(letters: Sequence[Letter]) -> bytes:
    """The calldata of `answer`: every letter the demanded party owes, one JSON list (P4.5)."""
    return canonical_json([read_json(letter.encode()) for letter in letters])


def decode_answer(data: bytes) -> list[Letter]:
    """Letters of an answer; what is not a letter is left out, since its sender gains nothing by it."""
    letters = []
    try:
        items = read_json(data)
    except ValueError:
        return []
    for item in items if isinstance(items, list) else []:
        try:
            letters.append(Letter.decode(canonical_json(item)))
        except (BadMessage, ValueError):  # JSON can be read of which none can be written: NaN, half a surrogate
            continue
    return letters


def bid_letter(bid: Bid, signature: bytes) -> Letter:
    """A bid as everybody may read it."""
    body = {
        "price": str(bid.price),
        "wrapKey": hexed(bid.wrapKey),
        "validUntil": bid.validUntil,
        "nonce": str(bid.nonce),
        "signature": hexed(signature),
    }
    return Letter(JobId(hexed(bid.job)), Kind.BID, bid.provider, BULLETIN, body)


def bid_of(letter: Letter) -> tuple[Bid, bytes]:
    """The bid and its signature; whether that signature is the provider's is for the chain room to say.

    Raises BadMessage for a field that the contract's struct could not hold, so that no bid breaks an `accept`.
    """
    try:
        job = bytes.fromhex(letter.job.removeprefix("0x"))
        provider = bytes.fromhex(letter.sender.removeprefix("0x"))
    except ValueError:
        raise BadMessage("a bid names its job and its provider in hex") from None
    price, nonce, valid_until = (letter.int_of(field) for field in ("price", "nonce", "validUntil"))
    wrap_key = letter.bytes_of("wrapKey")
    sizes = (len(job), len(provider), len(wrap_key))
    if sizes != (32, 20, 32) or not (0 <= price < 2**96 and 0 <= nonce < 2**256 and 0 <= valid_until < 2**64):
        raise BadMessage("a field of the bid is out of the contract's range")
    return Bid(job, letter.sender, Wei(price), wrap_key, valid_until, nonce), letter.bytes_of("signature")
