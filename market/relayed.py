"""What is signed or opened for somebody else to post (P6.1, P8): score commits, their openings, waivers. Pure.

A score commit is good for one job, round and seat, and holds the very hash that the seat's own `commit` would: whoever
carries or posts it can stop it, and change nothing. An opening proves itself by the commit on chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from heldout.market.errors import BadMessage
from heldout.market.messages import Kind, Letter, hexed
from heldout.market.signatures import Signer
from heldout.market.terms import Address, JobId, keccak256, typed_digest, words

_COMMIT_TYPE: Final = keccak256(b"ScoreCommit(bytes32 job,uint8 round,uint32 seat,bytes32 hash)")
_WAIVER_TYPE: Final = keccak256(b"Waiver(bytes32 job,uint8 round,bytes32 result)")
LONGEST_SIGNATURE: Final = 4096
"""Bytes. A contract wallet's may be longer than a key's 65 (ERC-1271), and is calldata that the poster pays for."""


@dataclass(frozen=True)
class ScoreCommit:
    """A seat's commit for anybody to post."""

    job: JobId
    round: int
    seat: int
    hash: bytes

    def digest(self, chain_id: int, market: str) -> bytes:
        """The 32 bytes the seat's hot key signs."""
        return _typed(chain_id, market, _COMMIT_TYPE, self.job, self.round, self.seat, self.hash)


@dataclass(frozen=True)
class Waiver:
    """A party's consent to the result as it stands: it will neither appeal nor demand."""

    job: JobId
    round: int
    result: bytes
    """The standing result word (`getJob`)."""

    def digest(self, chain_id: int, market: str) -> bytes:
        """The 32 bytes requester and providers sign."""
        return _typed(chain_id, market, _WAIVER_TYPE, self.job, self.round, self.result)


@dataclass(frozen=True)
class Opening:
    """A commit, opened: field for field the contract's struct."""

    place: int
    vote: bytes
    evidence: bytes
    salt: bytes

    def as_tuple(self) -> tuple[int, bytes, bytes, bytes]:
        return (self.place, self.vote, self.evidence, self.salt)


def _typed(chain_id: int, market: str, type_: bytes, job: JobId, *rest: Any) -> bytes:
    return typed_digest(chain_id, market, keccak256(words((type_, bytes.fromhex(job[2:]), *rest))))


def sign(account: Signer, digest: bytes) -> bytes:
    """r ‖ s ‖ v by a key, the same bytes every time (RFC 6979)."""
    return bytes(account.unsafe_sign_hash(digest).signature)


# -------------------------------------------------------------------------------------------------- letters


def commit_letter(commit: ScoreCommit, signature: bytes, sender: Address, receiver: Address) -> Letter:
    body = {
        "round": commit.round,
        "seat": commit.seat,
        "hash": hexed(commit.hash),
        "signature": hexed(signature),
    }
    return Letter(commit.job, Kind.SCORE_COMMIT, sender, receiver, body)


def commit_of(letter: Letter) -> tuple[ScoreCommit, bytes]:
    """The commit and its signature, still to be verified. Raises BadMessage."""
    commit = ScoreCommit(
        letter.job, _small(letter, "round", 3), _small(letter, "seat", 2**32 - 1), _word(letter, "hash")
    )
    return commit, _signature(letter)


def opening_letter(job: JobId, round_: int, opening: Opening, sender: Address, receiver: Address) -> Letter:
    words_: Mapping[str, bytes] = {"vote": opening.vote, "evidence": opening.evidence, "salt": opening.salt}
    body: dict[str, Any] = {"round": round_, "place": opening.place}
    return Letter(job, Kind.SCORE_REVEAL, sender, receiver, body | {name: hexed(w) for name, w in words_.items()})


def opening_of(letter: Letter) -> tuple[int, Opening]:
    """The round and the opening, still to be held against the commit on chain. Raises BadMessage."""
    vote, evidence, salt = (_word(letter, name) for name in ("vote", "evidence", "salt"))
    return _small(letter, "round", 3), Opening(_small(letter, "place", 31), vote, evidence, salt)


def waiver_letter(waiver: Waiver, signature: bytes, sender: Address, receiver: Address) -> Letter:
    body = {"round": waiver.round, "result": hexed(waiver.result), "signature": hexed(signature)}
    return Letter(waiver.job, Kind.WAIVER, sender, receiver, body)


def waiver_of(letter: Letter) -> tuple[Waiver, bytes]:
    """The waiver and its signature, still to be verified. Raises BadMessage."""
    return Waiver(letter.job, _small(letter, "round", 3), _word(letter, "result")), _signature(letter)


def _small(letter: Letter, field: str, most: int) -> int:
    value = letter.int_of(field)
    if not 0 <= value <= most:
        raise BadMessage(f"{field} of a {letter.kind} letter is out of range")
    return value


def _word(letter: Letter, field: str) -> bytes:
    value = letter.bytes_of(field)
    if len(value) != 32:
        raise BadMessage(f"{field} of a {letter.kind} letter has 32 bytes")
    return value


def _signature(letter: Letter) -> bytes:
    signature = letter.bytes_of("signature")
    if len(signature) > LONGEST_SIGNATURE:
        raise BadMessage(f"a signature of {len(signature)} bytes is too long")
    return signature
