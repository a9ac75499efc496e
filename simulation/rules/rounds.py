"""How a committee is drawn, how it votes, and what ends its round (P3, P5.2, P5.3)."""

from itertools import starmap
from typing import Any

from heldout.market.errors import Reverted
from heldout.market.lifecycle import REQUESTER, ROUNDS, VACANT, JobState, Round, State
from heldout.market.messages import NO_DATA, commit_chain, commit_hash, commit_link, pack_vote, unpack_vote
from heldout.market.split import SEED_DELAY, draw_committee
from heldout.market.terms import Address, JobId
from heldout.market.votes import majority_of, tally
from heldout.simulation.rules.jobs import Jobs, raw


class Rounds(Jobs):
    # -------------------------------------------------------------------------------------------------- draw

    def pin(self, sender: Address, id_: JobId) -> None:
        job = self.require(id_, State.COMMITTING)
        self.require_before(job.deadline)
        if job.rounds[-1].seats:
            raise Reverted("AlreadyDrawn", (id_, job.round))
        if self._pin(job):
            return
        if job.rounds[-1].reseeded:
            raise Reverted("SeedGone", (job.rounds[-1].seed_block,))
        self._reseed(id_)

    def committee(self, id_: JobId) -> tuple[int, ...]:
        """The seats of the present round, pinned or not; places that nobody took hold VACANT."""
        job = self.require(id_, *(state for state in State if state > State.RUNNING))
        return job.rounds[-1].seats or self._draw(job, self.seed_of(job.rounds[-1].seed_block))

    def _draw(self, job: JobState, seed: bytes) -> tuple[int, ...]:
        accept_block, seed_block = job.accept_block or 0, job.rounds[-1].seed_block

        def is_live(index: int) -> bool:
            seat = self.seats.get(index)
            if seat is None or seat.active_from >= accept_block:
                return False
            return not seat.exiting_at or seat.exiting_at >= seed_block

        drawn = draw_committee(seed, raw(job.id), job.round, job.size_of(job.round), job.seat_count, is_live)
        return tuple(VACANT if seat is None else seat for seat in drawn)

    def _pin(self, job: JobState) -> bool:
        """Store the drawn seats. False if the hash is gone."""
        seed = self.seed_of(job.rounds[-1].seed_block)
        if not any(seed):
            return False
        self.emit("Drawn", job=raw(job.id), round=job.round, seed=seed, seats=list(self._draw(job, seed)))
        return True

    def _reseed(self, id_: JobId) -> None:
        """Once a round, if nobody pinned it while the hash was known (P5.3); the window begins anew."""
        self.emit("Reseeded", job=raw(id_), round=self.jobs[id_].round, seedBlock=self.block + SEED_DELAY)
        self.enter(id_, State.COMMITTING)

    def is_seated(self, round_: Round, place: int, account: Address) -> bool:
        if place >= len(round_.seats):
            return False
        seat = self.seats.get(round_.seats[place])
        return seat is not None and seat.hot == account

    # ------------------------------------------------------------------------------------- commit and reveal

    def commit(self, sender: Address, id_: JobId, place: int, hash_: bytes) -> None:
        job = self.to_commit(id_)
        if not any(hash_):
            raise Reverted("ZeroWord")
        round_ = job.rounds[-1]
        if not self.is_seated(round_, place, sender):
            raise Reverted("NotSeat", (sender, place))
        if place in round_.commits:
            raise Reverted("AlreadyCommitted", (id_, job.round, place))
        seat = round_.seats[place]
        self.emit("Committed", job=raw(id_), seat=seat, round=job.round, place=place, hash=hash_)
        if len(round_.commits) + 1 == sum(seat != VACANT for seat in round_.seats):
            self.enter(id_, State.REVEALING)

    def to_commit(self, id_: JobId) -> JobState:
        """A job in which a commit is welcome now. The first commit pins."""
        job = self.require(id_, State.COMMITTING)
        self.require_before(job.deadline)
        if not job.rounds[-1].seats and not self._pin(job):
            raise Reverted("SeedGone", (job.rounds[-1].seed_block,))
        return self.jobs[id_]

    def to_reveal(self, id_: JobId) -> JobState:
        """A job in which a reveal is welcome now. The commits' deadline needs no call of its own."""
        job = self.jobs.get(id_)
        if job and job.state is State.COMMITTING and self.now >= job.deadline and self._has_enough_commits(job):
            self.enter(id_, State.REVEALING)
        job = self.require(id_, State.REVEALING)
        self.require_before(job.deadline)
        return job

    def reveal(self, sender: Address, id_: JobId, place: int, *shown: Any) -> None:
        """Shown are vote, evidence and salt, and what `messages.beside` tells of the other commits."""
        vote, evidence, salt, earlier, later = shown
        job = self.to_reveal(id_)
        round_ = job.rounds[-1]
        if place not in round_.commits:
            raise Reverted("NotCommitted", (id_, job.round, place))
        if place in round_.votes:
            raise Reverted("AlreadyRevealed", (id_, job.round, place))
        seat = round_.seats[place]
        opened = commit_hash(self.chain_id, self.address, raw(id_), job.round, seat, vote, evidence, salt)
        chain = commit_chain(bytes(32), starmap(commit_link, round_.commits.items()))
        given = commit_chain(earlier, (commit_link(place, opened), *later))
        if given != chain:
            raise Reverted("WrongReveal", (chain, given))
        self.open_vote(job, place, vote, evidence)
        if len(round_.votes) + 1 == len(round_.commits):
            self.close_revealing(id_)

    def open_vote(self, job: JobState, place: int, vote: bytes, evidence: bytes) -> None:
        word = _checked(vote, len(job.lanes))
        event = {"job": raw(job.id), "seat": job.rounds[-1].seats[place], "round": job.round, "place": place}
        self.emit("Revealed", **event, vote=word, evidence=evidence)

    # ------------------------------------------------------------------------------------------ ends of a round

    def close_committing(self, id_: JobId) -> None:
        """From the deadline on. It draws nobody: who could not see a draw in time is not absent (P5.3)."""
        job = self.jobs[id_]
        self.require_after(job.deadline)
        round_ = job.rounds[-1]
        if not round_.seats:
            return self._end_round(id_) if round_.reseeded else self._reseed(id_)
        if job.pending:
            return self._default_while_committing(id_)
        return self.enter(id_, State.REVEALING) if self._has_enough_commits(job) else self._end_round(id_)

    def _has_enough_commits(self, job: JobState) -> bool:
        """Whether a majority is still possible, once nobody can commit any more."""
        return not job.pending and len(job.rounds[-1].commits) >= majority_of(job.size_of(job.round))

    def close_revealing(self, id_: JobId) -> None:
        """All committed votes are open, or it is too late for the others."""
        job = self.jobs[id_]
        votes = [unpack_vote(vote, len(job.lanes)) for vote in job.rounds[-1].votes.values()]
        result = tally(votes, job.size_of(job.round), len(job.lanes), job.demanded, job.missing)
        if result is None:
            return self._end_round(id_)
        self.emit("RoundScored", job=raw(id_), round=job.round, result=pack_vote(result))
        return self.enter(id_, State.SCORED)

    def _end_round(self, id_: JobId) -> None:
        """Without a result: the next round; after the last, the result before stands, if there is one (P3.2)."""
        job = self.jobs[id_]
        if job.round < ROUNDS:
            self.start_round(id_)
        elif job.deciding_round:
            self.enter(id_, State.SCORED)
        else:
            self.finish(id_)

    def _default_while_committing(self, id_: JobId) -> None:
        """What silence means (P4.5): a provider's lane is MISSING; the requester's ends the job."""
        job = self.jobs[id_]
        self.unanswered(job)
        if REQUESTER not in job.pending and job.all_lanes - job.missing - job.pending:
            self.enter(id_, State.COMMITTING)
        else:
            self.finish(id_)

    def finish(self, id_: JobId) -> None:
        """Nothing is left to wait for: `settle` may pay at once."""
        self.move(id_, State.SCORED, self.now)

    def unanswered(self, job: JobState) -> None:
        for party in sorted(job.pending):
            self.emit("Unanswered", job=raw(job.id), party=party)


def _checked(vote: bytes, lanes: int) -> bytes:
    """The vote with its unused lanes cleared. Reverts if a used one holds neither a score nor a code."""
    values = unpack_vote(vote, lanes)
    for lane, value in enumerate(values):
        if value > NO_DATA:
            raise Reverted("VoteOutOfRange", (lane, value))
    return pack_vote(values)
