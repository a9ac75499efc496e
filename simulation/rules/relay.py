"""The relayed road: a round in two calls that anybody may send, and who gave up the challenge (P6.1)."""

from collections.abc import Sequence
from itertools import starmap

from heldout.market.errors import Reverted
from heldout.market.lifecycle import VACANT, JobState, State
from heldout.market.messages import commit_chain, commit_hash, commit_link
from heldout.market.relayed import Opening, ScoreCommit, Waiver
from heldout.market.settlement import NOBODY
from heldout.market.terms import Address, JobId
from heldout.simulation.rules.agreement import Agreements
from heldout.simulation.rules.jobs import raw

FIRST_ROUND_OF_FINES = 2
"""May fine the seats of the round before, whose way to the last round is not the parties' to give away (P3.6)."""


class Relay(Agreements):
    def commitAll(self, sender: Address, id_: JobId, hashes: Sequence[bytes], signatures: Sequence[bytes]) -> None:
        """The commits of all drawn seats, by place; the draw fills places from the first."""
        job = self.to_commit(id_)
        seats = [seat for seat in job.rounds[-1].seats if seat != VACANT]
        if job.rounds[-1].commits:
            raise Reverted("AlreadyCommitted", (id_, job.round, 0))
        if not len(hashes) == len(signatures) == len(seats):
            raise Reverted("NotAll", (len(hashes), len(seats)))
        for place, (seat, hash_, signature) in enumerate(zip(seats, hashes, signatures, strict=True)):
            if not any(hash_):
                raise Reverted("ZeroWord")
            hot = self.seats[seat].hot if seat in self.seats else NOBODY
            self.require_signed(sender, ScoreCommit(id_, job.round, seat, hash_), hot, signature)
            self.emit("Committed", job=raw(id_), seat=seat, round=job.round, place=place, hash=hash_)
        self.enter(id_, State.REVEALING)

    def revealAll(self, sender: Address, id_: JobId, openings: Sequence[Opening]) -> None:
        """All commits, opened in the order in which they were made."""
        job = self.to_reveal(id_)
        round_ = job.rounds[-1]
        if round_.votes:
            raise Reverted("AlreadyRevealed", (id_, job.round, 0))
        chain = bytes(32)
        for each in openings:
            shown = (round_.seats[each.place], each.vote, each.evidence, each.salt)
            hash_ = commit_hash(self.chain_id, self.address, raw(id_), job.round, *shown)
            chain = commit_chain(chain, [commit_link(each.place, hash_)])
            self.open_vote(job, each.place, each.vote, each.evidence)
        made = commit_chain(bytes(32), starmap(commit_link, round_.commits.items()))
        if chain != made:
            raise Reverted("WrongReveal", (made, chain))
        self.close_revealing(id_)

    def require_waived(self, sender: Address, job: JobState, signatures: Sequence[bytes]) -> None:
        """The requester first, then every lane's provider, about the result that stands."""
        if job.pending:
            raise Reverted("DemandPending", (job.id, sum(1 << party for party in job.pending)))
        if job.round == FIRST_ROUND_OF_FINES:
            raise Reverted("SeatsMayAppeal", (job.id,))
        signers = [job.terms.requester, *(lane.provider for lane in job.lanes)]
        if len(signatures) != len(signers):
            raise Reverted("NotAll", (len(signatures), len(signers)))
        decided = job.rounds[job.deciding_round - 1].result if job.deciding_round else None
        waiver = Waiver(job.id, job.round, job.overlaid(decided or bytes(32)))
        for signer, signature in zip(signers, signatures, strict=True):
            self.require_signed(sender, waiver, signer, signature)
