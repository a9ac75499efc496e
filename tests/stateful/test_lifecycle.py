"""Random but legal lives of a job, folded by market/lifecycle.py (P1.1, P1.4, P3, P4.5).

`Life` plays the contract in small: it keeps the least that decides what may happen next, and emits the events that
Market.sol emits, in its order. The fold must come to the same view from the events alone.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from heldout.market.lifecycle import (
    REQUESTER,
    ROUNDS,
    JobState,
    Outcome,
    Purpose,
    State,
    deadline_move,
    fold,
    if_nobody_acts,
    transition,
)
from heldout.market.messages import MISSING, pack_vote
from heldout.market.terms import JobId, Timestamp
from tests.builders import JOB, PROVIDERS, TERMS, EventLog, digest, terms_values
from tests.builders import REQUESTER as R

SIZES = (0, 3, 7, 15)
"""Places of a committee, by round."""
_WINDOW, _RELEASE = 100, 30
_SCORES = st.sampled_from([960_000, 960_000, 960_000, 100_000, MISSING])
_ALL = frozenset(range(SIZES[-1]))
_PLACES = st.just(_ALL) | st.frozensets(st.sampled_from(sorted(_ALL)))
_PRICES = st.lists(st.integers(0, TERMS.priceCap), min_size=1, max_size=TERMS.lanes)
_SELDOM = st.integers(0, 4).map(lambda n: 4 - n)
"""Something happens when this is 0: a life should not end before it has begun."""
_SHARE = st.integers(0, 100)


class Life(RuleBasedStateMachine):
    """One job."""

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog()
        self.job: JobState | None = None
        self.state, self.round, self.now, self.deadline, self.stage_end = State.NONE, 0, 1_000, 0, 0
        self.lanes, self.locked, self.decided = 0, 0, False
        self.submitted: set[int] = set()
        self.pending: set[int] = set()
        self.demanded: set[int] = set()
        self.committed: set[int] = set()
        self.votes: dict[int, tuple[int, ...]] = {}

    # ------------------------------------------------------------------------------------------------ emitting

    def emit(self, name: str, **args: Any) -> None:
        self.job = transition(self.job, self.log(name, **args))

    def lock(self, amount: int, purpose: Purpose, who: str = R) -> None:
        self.locked += amount
        self.emit("Locked", **{"from": who, "purpose": purpose, "amount": amount})

    def pay(self, amount: int, purpose: Purpose, who: str = R) -> None:
        self.locked -= amount
        self.emit("Paid", to=who, purpose=purpose, amount=amount)

    def move(self, deadline: int) -> None:
        self.deadline = deadline
        self.emit("Moved", state=self.state, round=self.round, deadline=deadline)

    def enter(self, state: State) -> None:
        self.state = state
        self.move(self.now + _WINDOW)

    def start_round(self) -> None:
        self.round += 1
        self.committed, self.votes = set(), {}
        self.demanded, self.pending = set(), set()
        self.enter(State.COMMITTING)

    def unanswered(self) -> None:
        for party in sorted(self.pending):
            self.emit("Unanswered", party=party)

    def finish(self) -> None:
        """Nothing to wait for: `settle` may pay at once."""
        self.state, self.pending = State.SCORED, set()
        self.move(self.now)

    def enter_scored(self) -> None:
        self.demanded, self.pending = set(), set()
        self.enter(State.SCORED)

    def end_round(self) -> None:
        """P3.2: the next round; after the last the result before stands, if there is one."""
        if self.round < ROUNDS:
            self.start_round()
        elif self.decided:
            self.enter_scored()
        else:
            self.finish()

    # ------------------------------------------------------------------------------------------- open, running

    @initialize(prices=_PRICES, waits=_SELDOM)
    def post(self, prices: list[int], waits: int) -> None:
        """Mostly with its bids at once, as `open` does."""
        self.emit("Posted", requester=R, terms=terms_values())
        self.lock(TERMS.escrow, Purpose.REFUND)
        self.enter(State.OPEN)
        if waits:
            self.bind(prices)

    @precondition(lambda life: life.state is State.OPEN)
    @rule(prices=_PRICES)
    def accept(self, prices: list[int]) -> None:
        self.bind(prices)

    def bind(self, prices: list[int]) -> None:
        self.lanes = len(prices)
        for provider in PROVIDERS[: self.lanes]:
            self.lock(TERMS.collateral, Purpose.COLLATERAL, provider)
        bids = [{"provider": PROVIDERS[i], "price": price, "wrapKey": digest("key")} for i, price in enumerate(prices)]
        self.emit("Accepted", bids=bids, seatCount=24)
        if unused := TERMS.lanes * TERMS.priceCap - sum(prices):
            self.pay(unused, Purpose.REFUND)
        self.enter(State.RUNNING)

    @precondition(lambda life: life.state is State.OPEN)
    @rule(chance=_SELDOM)
    def give_up(self, chance: int) -> None:
        """`cancel` before the deadline, `expire` from it on."""
        if chance:
            return
        self.pay(self.locked, Purpose.REFUND)
        self.settled(Outcome.CANCELLED if self.now < self.deadline else Outcome.EXPIRED)

    @precondition(lambda life: life.state is State.RUNNING and life.now < life.deadline)
    @rule(lane=st.integers(0, TERMS.lanes - 1))
    def submit(self, lane: int) -> None:
        if lane >= self.lanes or lane in self.submitted:
            return
        self.submitted.add(lane)
        self.emit("Submitted", provider=PROVIDERS[lane], lane=lane, word=digest(f"word {lane}"))
        if len(self.submitted) == self.lanes:
            self.start_round()

    # ------------------------------------------------------------------------------------- demands and answers

    def may_be_demanded(self) -> list[int]:
        """P4.5: once per party and stage, before the deadline; in Running only the requester owes anything."""
        if self.now >= self.deadline or self.state not in (State.RUNNING, State.COMMITTING, State.SCORED):
            return []
        parties = {REQUESTER} | (set() if self.state is State.RUNNING else set(range(self.lanes)))
        return sorted(parties - self.demanded)

    @precondition(lambda life: life.may_be_demanded())
    @rule(data=st.data())
    def demand(self, data: st.DataObject) -> None:
        party = data.draw(st.sampled_from(self.may_be_demanded()))
        if not self.pending:
            self.stage_end = self.deadline
        self.demanded.add(party)
        self.pending.add(party)
        self.move(self.now + _RELEASE)
        self.emit("Demanded", party=party, by=PROVIDERS[0], deadline=self.deadline)

    @precondition(lambda life: life.pending and life.now < life.deadline)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        party = data.draw(st.sampled_from(sorted(self.pending)))
        self.pending.discard(party)
        if not self.pending:
            self.enter(self.state)
        self.emit("Answered", party=party, envelopes=b"[]", deadline=self.deadline)

    # ------------------------------------------------------------------------------------ committing, revealing

    @precondition(lambda life: life.state is State.COMMITTING and life.now < life.deadline)
    @rule(places=_PLACES)
    def commit(self, places: frozenset[int]) -> None:
        size = SIZES[self.round]
        if not self.committed:
            self.emit("Drawn", round=self.round, seed=digest("seed"), seats=list(range(size)))
        for place in sorted(place for place in places if place < size and place not in self.committed):
            self.committed.add(place)
            hash_ = digest(f"commit {self.round} {place}")
            self.emit("Committed", seat=place, round=self.round, place=place, hash=hash_)
        if len(self.committed) == size:
            self.pending = set()
            self.enter(State.REVEALING)

    @precondition(lambda life: life.state is State.REVEALING and life.now < life.deadline)
    @rule(places=_PLACES, scores=st.lists(_SCORES, min_size=TERMS.lanes, max_size=TERMS.lanes))
    def reveal(self, places: frozenset[int], scores: list[int]) -> None:
        vote = tuple(scores[: self.lanes])
        for place in sorted((places & self.committed) - set(self.votes)):
            self.votes[place] = vote
            word, evidence = pack_vote(vote), digest("rows")
            self.emit("Revealed", seat=place, round=self.round, place=place, vote=word, evidence=evidence)
        if set(self.votes) == self.committed:
            self.tally()

    def tally(self) -> None:
        """P3.2: in each lane the value of at least (n+1)/2 of all seats."""
        result = []
        for lane in range(self.lanes):
            value, count = (
                Counter(vote[lane] for vote in self.votes.values()).most_common(1)[0] if self.votes else (0, 0)
            )
            if 2 * count <= SIZES[self.round]:
                return self.end_round()
            result.append(value)
        self.decided = True
        self.emit("RoundScored", round=self.round, result=pack_vote(result))
        self.enter_scored()

    # ------------------------------------------------------------------------------------------- deadline moves

    @precondition(lambda life: life.state in (State.RUNNING, State.COMMITTING, State.REVEALING))
    @rule(chance=_SELDOM)
    def close(self, chance: int) -> None:
        if chance:
            return
        self.now = max(self.now, self.deadline)
        if self.state is State.RUNNING:
            self.unanswered()
            self.finish() if self.pending or not self.submitted else self.start_round()
        elif self.state is State.REVEALING:
            self.tally()
        elif self.pending:
            self.unanswered()
            withheld = REQUESTER in self.pending
            self.pending = set()
            self.finish() if withheld else self.enter(State.COMMITTING)
        elif 2 * len(self.committed) > SIZES[self.round]:
            self.enter(State.REVEALING)
        else:
            self.end_round()

    @precondition(lambda life: life.state is State.SCORED and life.pending)
    @rule()
    def close_a_demand_of_the_challenge(self) -> None:
        self.now = max(self.now, self.deadline)
        self.unanswered()
        self.pending = set()
        self.move(self.stage_end)

    @precondition(lambda life: life.state is State.SCORED and life.now < life.deadline and life.round < ROUNDS)
    @rule()
    def appeal(self) -> None:
        self.lock(50, Purpose.APPEAL_BOND)
        self.emit("Appealed", round=self.round + 1, by=R, bond=50)
        self.start_round()

    @precondition(lambda life: life.state is State.SCORED and not life.pending)
    @rule(slashed=st.integers(0, 1_000), shares=st.lists(_SHARE, min_size=len(Purpose), max_size=len(Purpose)))
    def settle(self, slashed: int, shares: list[int]) -> None:
        """However the pot is divided: it is divided whole, and what is left is the requester's."""
        self.now = max(self.now, self.deadline)
        if slashed:
            self.locked += slashed
            self.emit("Slashed", seat=3, round=1, amount=slashed)
        for purpose, share in zip(Purpose, shares, strict=True):
            self.pay(self.locked * share // 1_000, purpose, PROVIDERS[0])
        for lane in range(self.lanes):
            self.emit("LaneSettled", lane=lane, provider=PROVIDERS[lane], score=960_000, payout=0)
        self.pay(self.locked, Purpose.REFUND)
        self.settled(Outcome.MEASURED)

    def settled(self, outcome: Outcome) -> None:
        self.state, self.pending = State.SETTLED, set()
        self.move(self.now)
        self.emit("Settled", outcome=outcome, result=bytes(32))

    @rule(seconds=st.integers(1, _WINDOW // 2))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def another_job_lives_too(self) -> None:
        other = EventLog(digest("another job"))("Moved", state=6, round=3, deadline=1)
        assert transition(self.job, other) is self.job

    # ---------------------------------------------------------------------------------------------- what holds

    @invariant()
    def the_fold_sees_what_the_contract_knows(self) -> None:
        if self.job is None:
            return
        job = self.job
        assert (job.state, job.round, job.deadline) == (self.state, self.round, self.deadline)
        assert job.pending == self.pending
        assert {i for i, lane in enumerate(job.lanes) if lane.word} == self.submitted
        if self.round:
            assert set(job.rounds[-1].commits) == self.committed
            assert set(job.rounds[-1].votes) == set(self.votes)
        assert (job.standing is not None) == self.decided

    @invariant()
    def money_is_never_negative_and_a_final_job_holds_none(self) -> None:
        """P1.4"""
        if self.job is None:
            return
        assert self.job.money_in - self.job.money_out == self.locked >= 0
        assert self.job.sums
        assert not self.job.final or self.locked == 0

    @invariant()
    def every_state_but_the_last_has_a_way_on(self) -> None:
        """P1.1: a vanished party never traps money."""
        if self.job is None:
            return
        assert deadline_move(self.job, Timestamp(self.deadline - 1)) is None
        move = deadline_move(self.job, Timestamp(self.deadline))
        legal = {State.OPEN: "expire", State.SCORED: "close" if self.pending else "settle", State.SETTLED: None}
        assert move == legal.get(self.state, "close")
        assert if_nobody_acts(self.job)

    def teardown(self) -> None:
        """A fold over any prefix, gone on with, is the fold over all; and the end comes once, at the end."""
        events = self.log.events
        for cut in range(1, len(events) + 1):
            before: dict[JobId, JobState] = fold(events[:cut])
            assert before[JOB].sums
            assert not before[JOB].final or events[cut - 1] in events[-2:]
        if events:
            assert fold(events)[JOB] == self.job


def test_any_legal_life_of_a_job_is_folded_right() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))


@pytest.mark.deep
def test_very_many_long_lives_are_folded_right() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=2_000, stateful_step_count=80, deadline=None))
