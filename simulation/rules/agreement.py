"""The cooperative road: how requester and providers agree that a job ends (P6.1)."""

from collections.abc import Callable, Sequence

from heldout.market.errors import Reverted
from heldout.market.lifecycle import JobState, Outcome, Purpose, State
from heldout.market.messages import NO_DATA, AgreedLane, AgreedOutcome, pack_vote
from heldout.market.money import Wei, royalty_down
from heldout.market.relayed import ScoreCommit, Waiver
from heldout.market.terms import Address, JobId, JobTerms, job_id, keccak256, words
from heldout.simulation.rules.demands import Demands
from heldout.simulation.rules.jobs import raw, terms_values
from heldout.simulation.rules.terms import check_shape

Message = AgreedOutcome | ScoreCommit | Waiver
Agrees = Callable[[Message, Address, bytes], bool]


class Agreements(Demands):
    agrees: Agrees = staticmethod(lambda message, signer, signature: True)
    """Whether a signature of a message is the signer's. Who sends the call has signed it."""

    def agree(
        self,
        sender: Address,
        terms: JobTerms,
        lanes: Sequence[AgreedLane],
        valid_until: int,
        signatures: Sequence[bytes],
    ) -> None:
        id_ = job_id(terms, self.chain_id, self.address)
        job = self.jobs.get(id_)
        if job and job.final:
            raise Reverted("WrongState", (id_, job.state))
        if self.now > valid_until:
            raise Reverted("TooLate", (self.now, valid_until + 1))
        self._require_agreed(sender, AgreedOutcome(raw(id_), valid_until, tuple(lanes)), terms, signatures)
        if job is None:
            self._begin(id_, terms, lanes)
        elif job.state is not State.OPEN:
            self._require_bound(job, lanes)
            self._pay_rounds(job)
            for lane in job.lanes:
                self._pay_back(id_, lane.provider, Purpose.COLLATERAL, terms.collateral)
        for number, agreed in enumerate(lanes):
            self._pay_agreed(id_, terms, number, agreed)
        if left := self.jobs[id_].locked:
            self.pay(id_, terms.requester, Purpose.REFUND, left)
        self.settled(id_, Outcome.AGREED, pack_vote([lane.score for lane in lanes]))

    def _require_agreed(
        self, sender: Address, outcome: AgreedOutcome, terms: JobTerms, signatures: Sequence[bytes]
    ) -> None:
        count = len(outcome.lanes)
        if not 1 <= count <= terms.lanes:
            raise Reverted("WrongBidCount", (count, terms.lanes))
        if len(signatures) != count + 1:
            raise Reverted("NotAll", (len(signatures), count + 1))
        signers = [terms.requester, *(lane.provider for lane in outcome.lanes)]
        for signer, signature in zip(signers, signatures, strict=True):
            self.require_signed(sender, outcome, signer, signature)

    def require_signed(self, sender: Address, message: Message, signer: Address, signature: bytes) -> None:
        if signer != sender and not self.agrees(message, signer, signature):
            raise Reverted("BadSignature", (signer,))

    def _begin(self, id_: JobId, terms: JobTerms, lanes: Sequence[AgreedLane]) -> None:
        """A job that was never posted: the requester puts in just what it pays."""
        check_shape(terms)
        self.emit("Posted", job=raw(id_), requester=terms.requester, terms=terms_values(terms))
        total = sum(lane.payout for lane in lanes)
        self.require_free(terms.requester, total)
        self.lock(id_, terms.requester, Purpose.REFUND, total)

    def _require_bound(self, job: JobState, lanes: Sequence[AgreedLane]) -> None:
        """Who is bound stays bound, and what was submitted stays submitted."""
        if len(lanes) != len(job.lanes):
            raise Reverted("WrongBidCount", (len(lanes), len(job.lanes)))
        for number, (lane, bound) in enumerate(zip(lanes, job.lanes, strict=True)):
            if lane.provider != bound.provider:
                raise Reverted("NotProvider", (lane.provider, number))
            if bound.word not in (None, lane.word):
                raise Reverted("AlreadySubmitted", (job.id, number))

    def _pay_rounds(self, job: JobState) -> None:
        """The committed seats of every round, out of the requester's money; who has left is not there to be paid."""
        for round_ in job.rounds:
            for place in sorted(round_.commits):
                seat = self.seats.get(round_.seats[place])
                if seat is not None:
                    self._pay_back(job.id, seat.cold, Purpose.FEE, job.terms.fee)
            if round_.appellant is not None and round_.bond:
                self._pay_back(job.id, round_.appellant, Purpose.APPEAL_BOND, round_.bond)

    def _pay_back(self, id_: JobId, to: Address, purpose: Purpose, amount: int) -> None:
        """A job too poor for the fees of its later rounds cannot be agreed on: money of other jobs is out of reach."""
        if amount > self.jobs[id_].locked:
            raise Reverted("JobTooPoor", (id_, self.jobs[id_].locked, amount))
        self.pay(id_, to, purpose, amount)

    def _pay_agreed(self, id_: JobId, terms: JobTerms, number: int, lane: AgreedLane) -> None:
        if lane.score > NO_DATA:
            raise Reverted("VoteOutOfRange", (number, lane.score))
        if lane.payout > self.jobs[id_].locked:
            raise Reverted("InsufficientFree", (terms.requester, self.jobs[id_].locked, lane.payout))
        net = lane.payout
        for parent in terms.parents:
            royalty = royalty_down(lane.payout, parent.bps)
            net = Wei(net - royalty)
            if royalty:
                self.pay(id_, parent.payee, Purpose.ROYALTY, royalty)
        if net:
            self.pay(id_, lane.provider, Purpose.PAYOUT, net)
        told = {"lane": number, "provider": lane.provider, "score": lane.score, "payout": lane.payout}
        self.emit("LaneSettled", job=raw(id_), **told)
        if lane.payout:
            self.emit(
                "Artifact",
                artifact=keccak256(words((raw(id_), number))),
                job=raw(id_),
                maker=lane.provider,
                owner=terms.requester,
                lane=number,
                word=lane.word,
                taskHash=terms.taskHash,
                dataRoot=terms.dataRoot,
                score=lane.score,
                measured=False,
            )
