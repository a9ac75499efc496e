"""The market: all chapters, and the settlement that ends a job (P3.4)."""

from collections.abc import Sequence

from heldout.market.errors import Reverted
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import HIGHEST_SCORE
from heldout.market.money import Wei
from heldout.market.relayed import Opening
from heldout.market.settlement import PROTOCOL, LaneResult, Payment, Slash, Stake, settle
from heldout.market.terms import Address, JobTerms, job_id, keccak256, words
from heldout.simulation.rules.jobs import raw
from heldout.simulation.rules.relay import Relay


class Market(Relay):
    fines = PROTOCOL

    def announce(self, sender: Address, message: bytes) -> None:
        self.emit("Announced", **{"from": sender, "message": message})

    def settle(self, sender: Address, terms: JobTerms) -> None:
        job = self.require(job_id(terms, self.chain_id, self.address), State.SCORED)
        if job.pending:
            raise Reverted("DemandPending", (job.id, sum(1 << party for party in job.pending)))
        self.require_after(job.deadline)
        self._settle(job)

    def conclude(
        self, sender: Address, terms: JobTerms, openings: Sequence[Opening], signatures: Sequence[bytes]
    ) -> None:
        """As `revealAll` if there are openings; then, since nobody will appeal, settled at once."""
        id_ = job_id(terms, self.chain_id, self.address)
        if openings:
            self.revealAll(sender, id_, openings)
        job = self.require(id_, State.SCORED)
        self.require_waived(sender, job, signatures)
        self._settle(job)

    def _settle(self, job: JobState) -> None:
        settlement = settle(job, self.stake_of, self.seat_stake, self.fines)
        for entry in settlement.entries:
            if isinstance(entry, Slash):
                self._slash(job, entry)
            elif isinstance(entry, Payment):
                self.pay(job.id, entry.to, entry.purpose, entry.amount)
            else:
                self._settle_lane(job, entry)
        self.settled(job.id, settlement.outcome, settlement.result)

    def stake_of(self, seat: int) -> Stake | None:
        stored = self.seats.get(seat)
        return Stake(stored.cold, Wei(stored.stake), stored.active_from) if stored else None

    def _slash(self, job: JobState, slash: Slash) -> None:
        """Below S/2 the seat leaves by itself (P5.5)."""
        stored = self.seats[slash.seat]
        if stored.stake - slash.amount < self.seat_stake // 2 and not stored.exiting_at:
            self.emit_exit(slash.seat)
        self.emit("Slashed", job=raw(job.id), seat=slash.seat, round=slash.round, amount=slash.amount)

    def _settle_lane(self, job: JobState, lane: LaneResult) -> None:
        self.emit("LaneSettled", job=raw(job.id), **vars(lane))
        if lane.payout:
            self.emit(
                "Artifact",
                artifact=keccak256(words((raw(job.id), lane.lane))),
                job=raw(job.id),
                maker=lane.provider,
                owner=job.terms.requester,
                lane=lane.lane,
                word=job.lanes[lane.lane].word or bytes(32),
                taskHash=job.terms.taskHash,
                dataRoot=job.terms.dataRoot,
                score=lane.score,
                measured=lane.score <= HIGHEST_SCORE,
            )
