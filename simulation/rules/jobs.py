"""From `post` to the last `submit` (P2, P3)."""

from collections.abc import Callable, Sequence

from heldout.market.errors import Reverted
from heldout.market.lifecycle import REQUESTER, JobState, Outcome, Purpose, State
from heldout.market.messages import NO_KEYS, Bid
from heldout.market.terms import Address, JobId, JobTerms, job_id
from heldout.simulation.rules.staking import Staking
from heldout.simulation.rules.terms import check_terms, fifth_up

SEATS_PER_PLACE = 8
"""Live seats that a committee of one place needs."""

Verifies = Callable[[Bid, bytes], bool]


class Jobs(Staking):
    verifies: Verifies = staticmethod(lambda bid, signature: True)
    """Whether a signature is the provider's. Whoever signs nothing needs no check."""

    def require(self, job: JobId, *states: State) -> JobState:
        found = self.jobs.get(job)
        if found is None or found.state not in states:
            raise Reverted("WrongState", (job, found.state if found else State.NONE))
        return found

    def require_before(self, deadline: int) -> None:
        """Actors need t < deadline (P3.1)."""
        if self.now >= deadline:
            raise Reverted("TooLate", (self.now, deadline))

    def require_after(self, deadline: int) -> None:
        """Deadline moves need t >= deadline (P3.1): at no time are both open."""
        if self.now < deadline:
            raise Reverted("TooEarly", (self.now, deadline))

    def enter(self, job: JobId, state: State, round_: int | None = None) -> None:
        """Enter a state, or begin its window anew."""
        self.move(job, state, self.now + window(self.jobs[job].terms, state), round_)

    def move(self, job: JobId, state: State, deadline: int, round_: int | None = None) -> None:
        number = self.jobs[job].round if round_ is None else round_
        self.emit("Moved", job=raw(job), state=state, round=number, deadline=deadline)

    # --------------------------------------------------------------------------------------- post and accept

    def post(self, sender: Address, terms: JobTerms) -> None:
        job = self._post(sender, terms)
        self._escrow(job, terms, terms.escrow)
        self.move(job, State.OPEN, self.now + terms.bidWindow)

    def _post(self, sender: Address, terms: JobTerms) -> JobId:
        job = job_id(terms, self.chain_id, self.address)
        if sender != terms.requester:
            raise Reverted("NotRequester", (sender, terms.requester))
        if job in self.jobs:
            raise Reverted("JobExists", (job,))
        check_terms(terms, self.limits, self.minimum_fee, self.seat_stake)
        self.emit("Posted", job=raw(job), requester=sender, terms=terms_values(terms))
        return job

    def _escrow(self, job: JobId, terms: JobTerms, amount: int) -> None:
        self.require_free(terms.requester, amount)
        self.lock(job, terms.requester, Purpose.REFUND, amount)

    def lock(self, job: JobId, account: Address, purpose: Purpose, amount: int) -> None:
        self.emit("Locked", **{"job": raw(job), "from": account, "purpose": purpose, "amount": amount})

    def accept(self, sender: Address, terms: JobTerms, bids: Sequence[Bid], signatures: Sequence[bytes]) -> None:
        job = self.require(job_id(terms, self.chain_id, self.address), State.OPEN)
        if sender != terms.requester:
            raise Reverted("NotRequester", (sender, terms.requester))
        self.require_before(job.deadline)
        value = self._accept(job, bids, signatures)
        if unused := terms.lanes * terms.priceCap - value:
            self.pay(job.id, sender, Purpose.REFUND, unused)

    def _accept(self, job: JobState, bids: Sequence[Bid], signatures: Sequence[bytes]) -> int:
        """V, the sum of the bids."""
        terms = job.terms
        if not 1 <= len(bids) <= terms.lanes or len(signatures) != len(bids):
            raise Reverted("WrongBidCount", (len(bids), terms.lanes))
        self._require_enough_seats(terms.committee)
        for lane, (bid, signature) in enumerate(zip(bids, signatures, strict=True)):
            self._require_valid(job, bid, signature)
            if bid.provider in [other.provider for other in bids[:lane]]:
                raise Reverted("DuplicateProvider", (bid.provider,))
            self.require_free(bid.provider, terms.collateral)
            self.lock(job.id, bid.provider, Purpose.COLLATERAL, terms.collateral)
        value = sum(bid.price for bid in bids)
        self._require_covered(terms, value)
        values = [vars(bid) for bid in bids]
        self.emit("Accepted", job=raw(job.id), bids=values, seatCount=self.totals["seat_count"])
        self.enter(job.id, State.RUNNING)
        return value

    def open(self, sender: Address, terms: JobTerms, bids: Sequence[Bid], signatures: Sequence[bytes]) -> None:
        """The bids are escrowed, not the cap."""
        job = self._post(sender, terms)
        value = self._accept(self.jobs[job], bids, signatures)
        self._escrow(job, terms, value + terms.committee * terms.fee + terms.bond)

    def _require_enough_seats(self, n: int) -> None:
        least = max(SEATS_PER_PLACE * n, (self.totals["seat_count"] + 3) // 4)
        if self.totals["live"] < least:
            raise Reverted("TooFewSeats", (self.totals["live"], least))

    def _require_valid(self, job: JobState, bid: Bid, signature: bytes) -> None:
        if bid.job != raw(job.id):
            raise Reverted("BidForOtherJob", (job.id, bid.job))
        if self.now > bid.validUntil:
            raise Reverted("BidExpired", (self.now, bid.validUntil))
        if bid.price > job.terms.priceCap:
            raise Reverted("BidAboveCap", (bid.price, job.terms.priceCap))
        if (bid.provider, bid.nonce) in self.spent:
            raise Reverted("BidSpent", (bid.provider, bid.nonce))
        # the requester sends the call, and has signed a bid of its own by that
        if bid.provider != job.terms.requester and not self.verifies(bid, signature):
            raise Reverted("BadSignature", (bid.provider,))

    def _require_covered(self, terms: JobTerms, value: int) -> None:
        """What decides the job must be worth more than the job (P2.2)."""
        greatest = self.seat_stake * (terms.committee + 1) // 4
        if value > greatest:
            raise Reverted("StakeTooSmall", (value, greatest))
        if terms.bond < fifth_up(value):
            raise Reverted("BondTooSmall", (terms.bond, fifth_up(value)))

    # ------------------------------------------------------------------------------- taking back, and submit

    def cancel(self, sender: Address, id_: JobId) -> None:
        job = self.require(id_, State.OPEN)
        if sender != job.terms.requester:
            raise Reverted("NotRequester", (sender, job.terms.requester))
        self._take_back(job, Outcome.CANCELLED)

    def expire(self, sender: Address, id_: JobId) -> None:
        job = self.require(id_, State.OPEN)
        self.require_after(job.deadline)
        self._take_back(job, Outcome.EXPIRED)

    def _take_back(self, job: JobState, outcome: Outcome) -> None:
        self.pay(job.id, job.terms.requester, Purpose.REFUND, job.locked)
        self.settled(job.id, outcome, bytes(32))

    def cancelBid(self, sender: Address, nonce: int) -> None:
        self.emit("BidCancelled", provider=sender, nonce=nonce)

    def submit(self, sender: Address, id_: JobId, lane: int, word: bytes) -> None:
        job = self.require(id_, State.RUNNING)
        self.require_before(job.deadline)
        if lane >= len(job.lanes) or job.lanes[lane].provider != sender:
            raise Reverted("NotProvider", (sender, lane))
        if lane in job.submitted:
            raise Reverted("AlreadySubmitted", (id_, lane))
        if not any(word):
            raise Reverted("ZeroWord")
        if word == NO_KEYS and REQUESTER not in job.demanded - job.pending:
            raise Reverted("KeysNotAnswered", (id_,))
        self.emit("Submitted", job=raw(id_), provider=sender, lane=lane, word=word)
        if self.jobs[id_].submitted == job.all_lanes:
            self.start_round(id_)

    def start_round(self, job: JobId) -> None:
        """The next round begins; what was demanded of anybody belongs to the stage before."""
        self.enter(job, State.COMMITTING, self.jobs[job].round + 1)

    def pay(self, job: JobId, to: Address, purpose: Purpose, amount: int) -> None:
        self.emit("Paid", job=raw(job), to=to, purpose=purpose, amount=amount)

    def settled(self, job: JobId, outcome: Outcome, result: bytes) -> None:
        self.emit("Settled", job=raw(job), outcome=outcome, result=result)


def window(terms: JobTerms, state: State) -> int:
    """Seconds of a state's window."""
    windows = {
        State.RUNNING: terms.workWindow,
        State.COMMITTING: terms.commitWindow,
        State.REVEALING: terms.revealWindow,
    }
    return windows.get(state, terms.challengeWindow)


def raw(job: JobId) -> bytes:
    """The id as events carry it."""
    return bytes.fromhex(job[2:])


def terms_values(terms: JobTerms) -> dict[str, object]:
    """As the decoded event carries them."""
    return {**vars(terms), "parents": [vars(parent) for parent in terms.parents]}
