"""Demand and answer, what silence costs, and appeals (P4.5, P3.6)."""

from heldout.market.errors import Reverted
from heldout.market.lifecycle import REQUESTER, ROUNDS, JobState, Outcome, Purpose, State
from heldout.market.money import Wei, appeal_bond
from heldout.market.terms import Address, JobId
from heldout.simulation.rules.jobs import raw, window
from heldout.simulation.rules.rounds import Rounds

_DEMANDABLE = (State.RUNNING, State.COMMITTING, State.SCORED)


class Demands(Rounds):
    def demand(self, sender: Address, id_: JobId, party: int, place: int) -> None:
        self._require_party(id_, party)
        job = self.require(id_, *_DEMANDABLE)
        demander = self._entitled(job, sender, party, place)
        self.require_before(job.deadline)
        joins = party == REQUESTER and party in job.pending and demander is not None and demander not in job.demanders
        half = stage_start(job) + window(job.terms, job.state) // 2
        if self.now > half and not joins:
            raise Reverted("DemandTooLate", (self.now, half))
        if party in job.demanded and not joins:
            raise Reverted("AlreadyDemanded", (id_, party))
        if not joins:
            self.move(id_, job.state, self.now + job.terms.releaseWindow)
        self.emit("Demanded", job=raw(id_), party=party, by=sender, deadline=self.jobs[id_].deadline)

    def _require_party(self, id_: JobId, party: int) -> None:
        job = self.jobs.get(id_)
        lanes = (len(job.lanes) or job.terms.lanes) if job else 0
        if party != REQUESTER and party >= lanes:
            raise Reverted("BadParty", (party,))

    def _entitled(self, job: JobState, sender: Address, party: int, place: int) -> int | None:
        """Reverts unless the caller may ask `party` in this stage. Returns the caller's lane, if it is a provider."""
        if party in job.missing:
            raise Reverted("BadParty", (party,))
        if job.state is State.COMMITTING:
            if not self.is_seated(job.rounds[-1], place, sender):
                raise Reverted("NotSeat", (sender, place))
            return None
        if party != REQUESTER:
            if job.state is State.RUNNING:
                raise Reverted("BadParty", (party,))  # a provider owes nothing yet
            if sender != job.terms.requester:
                raise Reverted("NotRequester", (sender, job.terms.requester))
            return None
        lane = job.lane_of(sender)
        if lane is None or lane in job.missing:
            raise Reverted("NotParty", (sender, job.id))
        return lane

    def answer(self, sender: Address, id_: JobId, party: int, envelopes: bytes) -> None:
        job = self.jobs.get(id_)
        if job is None or party not in job.pending:
            raise Reverted("NothingDemanded", (id_, party))
        if sender != (job.terms.requester if party == REQUESTER else job.lanes[party].provider):
            raise Reverted("NotParty", (sender, id_))
        self.require_before(job.deadline)
        if job.pending == {party}:
            self.enter(id_, job.state)
        deadline = self.jobs[id_].deadline
        self.emit("Answered", job=raw(id_), party=party, envelopes=envelopes, deadline=deadline)

    def close(self, sender: Address, id_: JobId) -> None:
        job = self.require(id_, State.RUNNING, State.COMMITTING, State.REVEALING, State.SCORED)
        if job.state is State.SCORED and not job.pending:
            raise Reverted("WrongState", (id_, job.state))
        self.require_after(job.deadline)
        closes = {
            State.RUNNING: self._close_running,
            State.COMMITTING: self.close_committing,
            State.REVEALING: self.close_revealing,
            State.SCORED: self._default_while_scored,
        }
        closes[job.state](id_)

    def _close_running(self, id_: JobId) -> None:
        """Who is absent forfeits; with no submission at all, or without training keys, the job is over."""
        job = self.jobs[id_]
        self.unanswered(job)
        if job.pending or not job.submitted:
            self.finish(id_)
        else:
            self.start_round(id_)

    def _default_while_scored(self, id_: JobId) -> None:
        """`settle` pays the consequences. The challenge ends when it would have: silence shortens nobody's appeal."""
        job = self.jobs[id_]
        self.unanswered(job)
        self.move(id_, State.SCORED, job.stage_end)

    def appeal(self, sender: Address, id_: JobId, place: int) -> None:
        """A bigger committee for a bond."""
        job = self.require(id_, State.SCORED)
        self.require_before(job.deadline)
        if job.round == ROUNDS:
            raise Reverted("LastRound", (id_,))
        is_party = sender == job.terms.requester or job.lane_of(sender) is not None
        if not is_party and not self.is_seated(job.rounds[-1], place, sender):
            raise Reverted("NotParty", (sender, id_))
        value = Wei(sum(lane.price for lane in job.lanes))
        bond = appeal_bond(job.round + 1, job.terms.committee, job.terms.fee, value)
        self.require_free(sender, bond)
        self.lock(id_, sender, Purpose.APPEAL_BOND, bond)
        self.emit("Appealed", job=raw(id_), round=job.round + 1, by=sender, bond=bond)
        self.start_round(id_)


def stage_start(job: JobState) -> int:
    """When the present window began; a pending demand has displaced its end. Zero where no window runs."""
    if job.outcome is not Outcome.NONE or job.state in (State.OPEN, State.SETTLED):
        return 0
    return (job.stage_end if job.pending else job.deadline) - window(job.terms, job.state)
