"""A seat's vote: what it says, how it is sealed, and how it is found again after a lost disk (P3.1, P3.5, P9.5). Pure.

    findings, one for each lane ──▶ vote, evidence ──▶ ballot (with its salt) ──▶ commit ──▶ reveal

The salt follows from a vote secret and the seat's place in the protocol, and scores are equal to the last bit on every
machine, so whoever still has the key ring can rebuild the ballot that a lost journal held.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from heldout.market.lifecycle import REQUESTER
from heldout.market.messages import CODES, MISSING, NO_DATA, commit_hash, evidence_root, hexed, pack_vote, unpack_vote
from heldout.market.money import Wei
from heldout.market.sealing import derive
from heldout.market.terms import JobId, word

NO_EVIDENCE = bytes(32)
"""Evidence of a lane without predictions: every code."""


@dataclass(frozen=True)
class Verdict:
    """What a lane is worth, for good: a score, or a code that no later delivery can change."""

    value: int
    evidence: bytes = NO_EVIDENCE


@dataclass(frozen=True)
class Undelivered:
    """What a lane still lacks, and whose it is to deliver: a lane's number or REQUESTER (P4.5)."""

    party: int
    reason: str

    @property
    def value(self) -> int:
        """The code to vote if it never comes."""
        return NO_DATA if self.party == REQUESTER else MISSING


Finding = Verdict | Undelivered


@dataclass(frozen=True)
class Domain:
    """Where a ballot counts: a commit for one chain, market, job and round opens nowhere else (P3.5)."""

    chain_id: int
    market: str
    job: JobId
    round: int

    def salt(self, vote_secret: bytes, seat: int) -> bytes:
        """32 bytes nobody without the secret can guess, and whoever has it can derive again (threat 43)."""
        parts = (word(self.chain_id), word(self.market), bytes.fromhex(self.job[2:]), word(self.round), word(seat))
        return derive(vote_secret, "heldout/salt/v1", *parts)

    def hash(self, seat: int, vote: bytes, evidence: bytes, salt: bytes) -> bytes:
        """What goes on chain as the commit."""
        job = bytes.fromhex(self.job[2:])
        return commit_hash(self.chain_id, self.market, job, self.round, seat, vote, evidence, salt)


@dataclass(frozen=True)
class Ballot:
    """One seat's sealed vote in one round."""

    seat: int
    vote: bytes
    evidence: bytes
    salt: bytes
    hash: bytes

    def as_record(self) -> dict[str, Any]:
        """For the journal."""
        return {name: hexed(v) if isinstance(v, bytes) else v for name, v in vars(self).items()}

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Ballot":
        vote, evidence, salt, hash_ = (bytes.fromhex(record[name][2:]) for name in ("vote", "evidence", "salt", "hash"))
        return Ballot(record["seat"], vote, evidence, salt, hash_)


def cast(domain: Domain, vote_secret: bytes, seat: int, findings: Sequence[Finding]) -> Ballot:
    """The ballot of a seat that found this, one finding for each lane."""
    vote = pack_vote([finding.value for finding in findings])
    evidence = evidence_root(_evidence(finding) for finding in findings)
    salt = domain.salt(vote_secret, seat)
    return Ballot(seat, vote, evidence, salt, domain.hash(seat, vote, evidence, salt))


def rediscover(
    domain: Domain, vote_secret: bytes, seat: int, findings: Sequence[Finding], committed: bytes
) -> Ballot | None:
    """The ballot behind a commit whose journal is lost; None if no vote this node could have cast opens it.

    A lane may have been voted MISSING or NO_DATA then and be delivered now, so every such combination is tried: at most
    3**8 hashes.
    """
    for variant in _variants(findings):
        ballot = cast(domain, vote_secret, seat, variant)
        if ballot.hash == committed:
            return ballot
    return None


def _variants(findings: Sequence[Finding]) -> Iterator[tuple[Finding, ...]]:
    choices = [dict.fromkeys((_settled(finding), Verdict(MISSING), Verdict(NO_DATA))) for finding in findings]
    return product(*choices)


def _settled(finding: Finding) -> Verdict:
    return finding if isinstance(finding, Verdict) else Verdict(finding.value)


def _evidence(finding: Finding) -> bytes:
    return finding.evidence if isinstance(finding, Verdict) else NO_EVIDENCE


# ----------------------------------------------------------------------------------------- looking back, and ahead


@dataclass(frozen=True)
class Comparison:
    """One seat's revealed value of one lane beside one's own."""

    place: int
    seat: int
    lane: int
    theirs: int
    mine: int

    @property
    def same(self) -> bool:
        return self.theirs == self.mine

    @property
    def meaning(self) -> str:
        """Why they differ, as far as a vote tells."""
        if self.same:
            return "the same"
        if self.theirs in CODES or self.mine in CODES:
            return "one of the two was not delivered, or not able to open, what the other scored"
        return "both scored, on other bytes: one of them did not run the pinned scorer on the drawn shards"


def compare(votes: dict[int, bytes], seat_at: Callable[[int], int], mine: Sequence[int]) -> tuple[Comparison, ...]:
    """Every revealed vote (by place) beside my own values, one for each lane."""
    return tuple(
        Comparison(place, seat_at(place), lane, theirs, mine[lane])
        for place, vote in sorted(votes.items())
        for lane, theirs in enumerate(unpack_vote(vote, len(mine)))
    )


@dataclass(frozen=True)
class Penalty:
    """One row of the slashing table (P3, P5.4)."""

    fault: str
    amount: Wei


def penalties(seat_stake: Wei, fee: Wei) -> tuple[Penalty, ...]:
    """What one seat loses, at a job's fee per seat and round."""
    return (
        Penalty("does not commit in time", Wei(4 * fee)),
        Penalty("commits, but does not reveal in time", Wei(8 * fee)),
        Penalty("votes MISSING or NO_DATA, and a later round decides otherwise", Wei(8 * fee)),
        Penalty("votes a score or BAD, and a later round decides otherwise", Wei(seat_stake // 2)),
        Penalty("is in the minority of the deciding round", Wei(0)),
    )
