"""One job from post to settlement, played by an adversary and honest others, and what each of them made of it."""

from collections.abc import Callable
from dataclasses import dataclass

from heldout.market.lifecycle import REQUESTER as REQUESTER_PARTY
from heldout.market.lifecycle import ROUNDS, VACANT, JobState, Movement, State, lane_pays
from heldout.market.messages import beside, commit_hash, pack_vote, unpack_vote
from heldout.market.money import ONE_TOKEN
from heldout.market.terms import Address, JobId, JobTerms, job_id
from heldout.simulation.adversaries import Adversary, Bench
from heldout.simulation.scene import (
    ADVERSARY,
    CHAIN_ID,
    FLOOR,
    HONEST,
    PROVIDER,
    REQUESTER,
    STRANGER,
    Numbers,
    Role,
    Stage,
    signed_bid,
)

WORD, EVIDENCE, SALT = b"\x01" * 32, bytes(32), b"\x02" * 32
SEED_BLOCKS = 3

Profits = dict[str, float]
"""Tokens that each role made in one job, its work paid for; `honest` are the seats that are not the adversary's. And
`slashed`: what those were fined, which is part of it."""

_ACCOUNTS = {"requester": REQUESTER, "provider": PROVIDER, "seats": ADVERSARY, "honest": HONEST}
NAMES = (*_ACCOUNTS, "slashed")


@dataclass
class Play:
    """`numbers` and `terms` are as the adversary wants them; `is_mine(seat)`: whether a seat is the adversary's."""

    stage: Stage
    adversary: Adversary
    numbers: Numbers
    is_mine: Callable[[int], bool]
    terms: JobTerms

    def __post_init__(self) -> None:
        self.id: JobId = job_id(self.terms, CHAIN_ID, self.stage.address)
        self.votes: dict[tuple[int, int], bytes] = {}
        self.scored = {ADVERSARY: 0, HONEST: 0}
        self.profits: Profits = {}

    @property
    def job(self) -> JobState:
        return self.stage.jobs[self.id]

    def run(self) -> Profits:
        before = {name: self.stage.wealth(account) for name, account in _ACCOUNTS.items()}
        self.settled()
        after = {name: self.stage.wealth(account) for name, account in _ACCOUNTS.items()}
        self.profits = self._less_work({name: (after[name] - before[name]) / ONE_TOKEN for name in _ACCOUNTS})
        self.profits["slashed"] = sum(row.amount for row in self.job.money if self._is_honest_stake(row)) / ONE_TOKEN
        return self.profits

    def settled(self) -> JobState:
        """The job, when all is over."""
        bid, signature = signed_bid(self.terms, self.stage.address)
        self.stage.call(REQUESTER, "open", self.terms, [bid], [signature])
        steps = {
            State.RUNNING: self._work,
            State.COMMITTING: self._commit,
            State.REVEALING: self._reveal,
            State.SCORED: self._challenge,
        }
        while not self.job.final:
            steps[self.job.state]()
        return self.job

    def _is_honest_stake(self, row: Movement) -> bool:
        return row.purpose is None and not self.is_mine(int(row.account.removeprefix("seat ")))

    def benches(self) -> list[int]:
        """How many seats of each committee were the adversary's."""
        return [sum(self.is_mine(seat) for seat in r.seats if seat != VACANT) for r in self.job.rounds if r.seats]

    def _less_work(self, made: Profits) -> Profits:
        """Money, and what it does not show: work done, and a model's worth to whoever asked for it."""
        withheld = self.adversary.withholds()
        if self.adversary.trains:
            made["provider"] -= self.numbers.training
        made["seats"] -= self.scored[ADVERSARY] * self.numbers.scoring
        made["honest"] -= self.scored[HONEST] * self.numbers.scoring
        delivered = self.job.lanes[0].payout > 0 and withheld not in ("held-out keys", "half key")
        stolen = self.adversary.steals and self.scored[ADVERSARY] > 0
        usable = self.adversary.model >= FLOOR and not self.adversary.is_needless
        if usable and self.job.lanes[0].word and (delivered or stolen):
            made["requester"] += self.numbers.worth
        return made

    # ---------------------------------------------------------------------------------------------- the steps

    def _work(self) -> None:
        withheld = self.adversary.withholds()
        if withheld == "training keys":
            self.stage.call(PROVIDER, "demand", self.id, REQUESTER_PARTY, 0)
        if withheld in ("training keys", "work"):
            return self._let_pass()
        self.stage.call(PROVIDER, "submit", self.id, 0, WORD)
        return None

    def _commit(self) -> None:
        self.stage.pass_time(12, SEED_BLOCKS)
        self.stage.call(STRANGER, "pin", self.id)
        seats = self.job.rounds[-1].seats
        owed = {"held-out keys": REQUESTER_PARTY, "weights": 0}.get(self.adversary.withholds())
        if owed is not None:
            self.stage.call(self._owner(seats[0]), "demand", self.id, owed, 0)
            return self._let_pass()
        bench = self._bench()
        which = 0
        for place, seat in enumerate(seats):
            vote: int | None = self.adversary.model
            if seat == VACANT:
                continue
            if self.is_mine(seat):
                vote = self.adversary.vote(self.adversary.model, bench, which)
                which += 1
            self._score(seat, bench)
            if vote is not None:
                self._commit_one(place, seat, pack_vote([vote]))
        if self.job.state is State.COMMITTING:
            self._let_pass()
        return None

    def _score(self, seat: int, bench: Bench) -> None:
        if not self.is_mine(seat):
            self.scored[HONEST] += 1
        elif self.adversary.scores or bench.mine == bench.size:
            self.scored[ADVERSARY] += 1

    def _commit_one(self, place: int, seat: int, vote: bytes) -> None:
        id_ = bytes.fromhex(self.id[2:])
        number = self.job.round
        hash_ = commit_hash(CHAIN_ID, self.stage.address, id_, number, seat, vote, EVIDENCE, SALT)
        self.votes[number, place] = vote
        self.stage.call(self._owner(seat), "commit", self.id, place, hash_)

    def _reveal(self) -> None:
        """The honest first: who keeps a vote back has seen all others."""
        number, round_, bench = self.job.round, self.job.rounds[-1], self._bench()
        for place in sorted(round_.commits, key=lambda place: self.is_mine(round_.seats[place])):
            if not self.is_mine(round_.seats[place]) or self.adversary.reveals(bench):
                vote, others = self.votes[number, place], beside(round_.commits.items(), place)
                self.stage.call(STRANGER, "reveal", self.id, place, vote, EVIDENCE, SALT, *others)
        if self.job.state is State.REVEALING and self.job.round == number:
            self._let_pass()

    def _challenge(self) -> None:
        result = self.job.rounds[-1].result if self.job.rounds else None
        if result is not None and self.job.round < ROUNDS and not self.job.outcome:
            (standing,) = unpack_vote(result, 1)
            if appellant := self._appellant(standing):
                place = next((p for p, s in enumerate(self.job.rounds[-1].seats) if self.is_mine(s)), 0)
                self.stage.call(appellant, "appeal", self.id, place)
                return
            if self.adversary.withholds() == "half key" and not self.job.half_withheld:
                self.stage.call(REQUESTER, "demand", self.id, 0, 0)
        self._let_pass()

    def _appellant(self, standing: int) -> Address | None:
        """Who asks for a bigger round: the wronged if honest and awake, else the adversary if it likes."""
        truth, roles, price = self.adversary.model, self.adversary.roles, self.terms.priceCap
        too_much = lane_pays(self.terms, price, standing) - lane_pays(self.terms, price, truth)
        if too_much > 0 and self.numbers.vigilant and Role.REQUESTER not in roles:
            return REQUESTER
        if too_much < 0 and self.numbers.vigilant and Role.PROVIDER not in roles:
            return PROVIDER
        if not self.adversary.appeals(standing, truth, self._bench()):
            return None
        return REQUESTER if Role.REQUESTER in roles else PROVIDER if Role.PROVIDER in roles else ADVERSARY

    # ---------------------------------------------------------------------------------------------- little helps

    def _let_pass(self) -> None:
        """To the deadline, and the move that anyone may then make."""
        self.stage.pass_time(max(self.job.deadline - self.stage.now, 0), 1)
        if self.job.state is State.SCORED and not self.job.pending:
            self.stage.call(STRANGER, "settle", self.terms)
        else:
            self.stage.call(STRANGER, "close", self.id)

    def _bench(self) -> Bench:
        seats = self.job.rounds[-1].seats
        return Bench(self.job.round, len(seats), sum(self.is_mine(seat) for seat in seats if seat != VACANT))

    def _owner(self, seat: int) -> Address:
        return ADVERSARY if self.is_mine(seat) else HONEST
