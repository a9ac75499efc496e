"""What parties sign and a stranger sends, on both markets of a `Duel` (P6.1); now and then with a fault.

Every choice comes out of the `Random` that a function is given.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from heldout.market.lifecycle import VACANT, JobState
from heldout.market.messages import commit_hash, pack_vote, unpack_vote
from heldout.market.relayed import Opening, ScoreCommit, Waiver
from heldout.market.signatures import checksummed
from heldout.market.votes import tally
from heldout.simulation.bytecode import CHAIN_ID
from heldout.simulation.rules.agreement import Message
from tests.builders import digest

if TYPE_CHECKING:
    from tests.players import Town

STRANGER = checksummed(digest("stranger")[:20])
SALT, EVIDENCE = digest("salt"), digest("rows")


def commit_together(town: Town, rng: Random, job: JobState) -> None:
    """All drawn seats in one call: whole, or refused."""
    seats = [seat for seat in town.seats_of(job) if seat != VACANT]
    common = town.vote(rng, job)
    votes = [common if rng.random() < 0.85 else town.vote(rng, job) for _ in seats]
    id_ = bytes.fromhex(job.id[2:])
    hashes = [
        commit_hash(CHAIN_ID, town.rules.address, id_, job.round, seat, vote, EVIDENCE, SALT)
        for seat, vote in zip(seats, votes, strict=True)
    ]
    fault = rng.choice(["none"] * 7 + ["one missing", "nothing committed", "another's signature"])
    if fault == "nothing committed":
        hashes[-1] = bytes(32)
    signatures = [
        _signed_by_hot(town, seat, ScoreCommit(job.id, job.round, seat, hash_))
        for seat, hash_ in zip(seats, hashes, strict=True)
    ]
    if fault == "another's signature":
        signatures = signatures[1:] + signatures[:1]
    if fault == "one missing":
        signatures.pop()
    if not town.duel(STRANGER, "commitAll", job.id, hashes, signatures):
        town.ballots |= {(job.id, job.round, place): vote for place, vote in enumerate(votes)}


def open_together(town: Town, rng: Random, job: JobState) -> None:
    """All commits in one call; sometimes with the waiver, which ends the job."""
    openings = _openings(town, job)
    fault = rng.choice(["none"] * 8 + ["out of order", "another vote"])
    if fault == "out of order":
        openings.reverse()
    if fault == "another vote" and openings:
        openings[0] = replace(openings[0], vote=bytes(32))
    if rng.random() < 0.4:
        conclude(town, rng, job, openings)
    else:
        town.duel(STRANGER, "revealAll", job.id, openings)


def conclude(town: Town, rng: Random, job: JobState, openings: list[Opening] | None = None) -> None:
    """Requester and providers give up the challenge. Whoever sends has signed, so the requester need not."""
    signers = [s for lane in job.lanes for s in town.signers if s.address == lane.provider]
    waiver = Waiver(job.id, job.round, _foreseen(job, openings))
    signatures = [b"", *(signer.sign(waiver, town.rules.address) for signer in signers)]
    if rng.random() < 0.1:
        signatures.pop()
    sender = job.terms.requester if rng.random() < 0.9 else STRANGER
    town.duel(sender, "conclude", job.terms, openings or [], signatures)


def _foreseen(job: JobState, openings: list[Opening] | None) -> bytes:
    """The result that stands, or will once these votes are open."""
    decided = job.rounds[job.deciding_round - 1].result if job.deciding_round else None
    if openings:
        votes = [unpack_vote(each.vote, len(job.lanes)) for each in openings]
        values = tally(votes, job.size_of(job.round), len(job.lanes), job.demanded, job.missing)
        decided = pack_vote(values) if values else decided
    return job.overlaid(decided or bytes(32))


def _openings(town: Town, job: JobState) -> list[Opening]:
    """In the order in which they were made. `meddle` commits to what nobody can open."""
    commits = town.rules.jobs[job.id].rounds[-1].commits
    votes = {place: town.ballots.get((job.id, job.round, place), bytes(32)) for place in commits}
    return [Opening(place, vote, EVIDENCE, SALT) for place, vote in votes.items()]


def _signed_by_hot(town: Town, seat: int, message: Message) -> bytes:
    """Of a seat that has left, or whose hot key is nobody's here, nothing."""
    stored = town.rules.seats.get(seat)
    signer = next((s for s in town.hots if stored and s.address == stored.hot), None)
    return signer.sign(message, town.rules.address) if signer else b""
