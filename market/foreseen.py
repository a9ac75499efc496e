"""A result before anybody posts it: all commits of a round, opened to the parties of the job (P6.1). Pure.

Openings prove themselves by the commits on chain, and whoever holds them all can post them: so requester and providers
may act on what they say, and end the job in one transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from heldout.market.errors import BadMessage
from heldout.market.lifecycle import Ending, JobState, State
from heldout.market.messages import NO_DATA, Kind, Letter, commit_hash, pack_vote, unpack_vote
from heldout.market.relayed import Opening, opening_of
from heldout.market.terms import JobId
from heldout.market.votes import tally

MOST_PER_JOB: Final = 512
"""A round has 31 places at most; strangers can announce more."""


@dataclass(frozen=True)
class Foreseen:
    """The job as it will be once `openings` are posted: Scored, with the present deadline, that of the reveals."""

    job: JobState
    openings: tuple[Opening, ...]
    """In the order of the commits, as `conclude` takes them."""

    def as_tuples(self) -> list[tuple[int, bytes, bytes, bytes]]:
        return [opening.as_tuple() for opening in self.openings]


class Openings:
    """What seats sent to a party, in memory: a restarted node reads its mailbox anew."""

    def __init__(self, chain_id: int, market: str) -> None:
        self._chain_id, self._market = chain_id, market
        self._found: dict[JobId, dict[bytes, tuple[int, Opening]]] = {}

    def keep(self, letter: Letter) -> None:
        """What is no opening is dropped."""
        if letter.kind is not Kind.SCORE_REVEAL:
            return
        try:
            found = opening_of(letter)
        except BadMessage:
            return
        known = self._found.setdefault(letter.job, {})
        if len(known) < MOST_PER_JOB:
            known.setdefault(sha256(letter.encode()).digest(), found)

    def foresee(self, job: JobState) -> Foreseen | None:
        """None while a commit is not opened here, or has been on chain; and if no majority or no vote comes of it.

        Whether the commits are deep is for the caller to see to.
        """
        if job.state is not State.REVEALING or job.rounds[-1].votes or not job.rounds[-1].commits:
            return None
        opened = {place: self._fitting(job, place, hash_) for place, hash_ in job.rounds[-1].commits.items()}
        openings = tuple(opening for opening in opened.values() if opening is not None)
        return _scored(job, openings) if len(openings) == len(opened) else None

    def forget(self, job: JobId) -> None:
        self._found.pop(job, None)

    def _fitting(self, job: JobState, place: int, hash_: bytes) -> Opening | None:
        seats = job.rounds[-1].seats
        if place >= len(seats):
            return None
        domain = (self._chain_id, self._market, bytes.fromhex(job.id[2:]), job.round, seats[place])
        for round_, each in self._found.get(job.id, {}).values():
            fits = (round_, each.place) == (job.round, place)
            if fits and commit_hash(*domain, each.vote, each.evidence, each.salt) == hash_:
                return each
        return None


def _scored(job: JobState, openings: Iterable[Opening]) -> Foreseen | None:
    openings, lanes = tuple(openings), len(job.lanes)
    votes = {opening.place: unpack_vote(opening.vote, lanes) for opening in openings}
    if any(value > NO_DATA for vote in votes.values() for value in vote):
        return None
    values = tally(votes.values(), job.size_of(job.round), lanes, job.demanded, job.missing)
    if values is None:
        return None
    result, none = pack_vote(values), frozenset[int]()
    last = replace(
        job.rounds[-1],
        votes={place: pack_vote(vote) for place, vote in votes.items()},
        evidence={opening.place: opening.evidence for opening in openings},
        result=result,
        ending=Ending.DECIDED,
        missing=job.missing,
    )
    scored = replace(job, state=State.SCORED, rounds=(*job.rounds[:-1], last), demanded=none, pending=none)
    return Foreseen(scored, openings)
